"""The bundle of a TLS-inspecting proxy on its way: into every build as it is, and there into what programs trust."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from infra.config import ROOT
from infra.program import program
from tests.gateway.sandboxes.drivers.docker_bench import agent_image
from tests.infra.certificates import certificate_and_key
from tests.infra.mocked import STACK_ID, run
from tests.infra.test_plugin import base_image

__all__ = ["agent_image", "base_image"]

HANDSHAKE = """
import json, os, ssl, tempfile

def trusted(pem):
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(pem)
        file.flush()
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(file.name)
    client = ssl.create_default_context()
    client.check_hostname = False
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError:
                return False
    return True

print(json.dumps([trusted(pem) for pem in json.loads(os.environ["PEMS"])]))
"""
"""A TLS connection without a network: whether a client with Python's defaults takes each server of `PEMS`."""


def test_every_build_that_speaks_tls_gets_exactly_the_configured_bundle(tmp_path: Path) -> None:
    text = "# our proxy\n" + "".join(certificate_and_key()[0] for _ in range(2))
    (tmp_path / "ca.pem").write_text(text)
    given = run(program, {"caBundle": str(tmp_path / "ca.pem")})
    builds = {item.name: item.inputs["build"]["args"] for item in given.of_type(":Image")}
    assert "CA_CERTS" not in builds.pop(f"{STACK_ID}-proxy")
    assert len(builds) == 2
    assert {name: args["CA_CERTS"] for name, args in builds.items()} == dict.fromkeys(builds, text)
    without = {item.name: item.inputs for item in run(program).of_type(":Image")}
    del without[f"{STACK_ID}-proxy"]
    for name, inputs in without.items():
        assert inputs["build"]["args"]["CA_CERTS"] == ""
        assert inputs["imageName"] != given.named(name, ":Image").inputs["imageName"], (
            "another bundle, another image"
        )


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def build(engine: docker.DockerClient, base_image: str) -> Iterator[Callable[..., str]]:
    """Builds on the base image with a bundle, from `docker build`'s arguments; the image goes at the end."""
    made: list[str] = []

    def build(bundle: str, *arguments: str, dockerfile: str | None = None) -> str:
        script = '. scripts/lib/env.sh && DOCKER_BUILDKIT=1 exec docker build -q "$@"'
        given = ["--build-arg", f"BASE={base_image}", "--build-arg", f"CA_CERTS={bundle}", *arguments]
        done = subprocess.run(
            ["bash", "-c", script, "build", *given],
            cwd=ROOT,
            input=dockerfile,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        made.append(done.stdout.strip())
        return made[-1]

    yield build
    for image in made:
        engine.images.remove(image, force=True)


@pytest.mark.docker
@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", ["agent", "gateway"])
def test_programs_trust_all_of_it_and_nothing_else(
    part: str,
    engine: docker.DockerClient,
    build: Callable[..., str],
    agent_image: str,
) -> None:
    """By the part of each Dockerfile that takes the bundle: the rest of a build is a minute of downloads."""
    pairs = [certificate_and_key(name=name) for name in ("one", "two", "stranger")]
    bundle = pairs[0][0] + pairs[1][0]
    if part == "gateway":
        image = build(bundle, "--target", "base", "-f", "gateway/Dockerfile", ".")
        environment = engine.images.get(image).attrs["Config"]["Env"]
    else:
        text = (ROOT / "container/Dockerfile").read_text()
        head, rest = text[text.index("FROM ${BASE}") :].split("ARG REQUIREMENTS", 1)
        assert "update-ca-certificates" in head
        assert "pip install" in rest
        image = build(bundle, "-f", "-", "container", dockerfile=f"ARG BASE\n{head}")
        environment = engine.images.get(agent_image).attrs["Config"]["Env"]

    def say(image: str, *argv: str, env: list[str]) -> str:
        output: bytes = engine.containers.run(image, list(argv), environment=env, remove=True)
        return output.decode()

    added = say(image, "sh", "-c", "cat /usr/local/share/ca-certificates/*", env=[])
    assert added.strip() == bundle.strip()
    env = [*environment, f"PEMS={json.dumps([chain + key for chain, key in pairs])}"]
    assert json.loads(say(image, "python3", "-c", HANDSHAKE, env=env)) == [True, True, False]
