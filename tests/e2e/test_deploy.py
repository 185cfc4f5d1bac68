"""The deployment on the real engines, Pulumi's and Docker's: up, no change, a change, down, up, destroy."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import docker
import pytest
import yaml
from docker.models.containers import Container

from tests.conftest import ROOT, free_port
from tests.e2e.deployed import copy_project, scripts_environment
from tests.gateway.stack import assert_whole, read_all, text_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

VERBS = {verb: verb for verb in ("made anew", "deleted the old", "made", "changed", "deleted")}

PLANS = {
    "would make anew": "made anew",
    "would delete the old": "deleted the old",
    "would make": "made",
    "would change": "changed",
    "would delete": "deleted",
}

OURS = ("Container", "Image", "Network", "Volume", "RemoteImage")


@dataclass(frozen=True)
class Tree:
    """A copy of the project that a test may change, and a state folder of its own. `stack`: a name of its own too."""

    folder: Path
    environ: dict[str, str]
    stack: str
    port: int

    def run(self, command: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One of the commands in `scripts/`."""
        argv = [str(self.folder / "scripts" / command), "--stack", self.stack, *arguments]
        done = subprocess.run(
            argv, cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False, timeout=900
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{command} failed:\n{done.stderr}")
        return done

    def up(self, *arguments: str) -> dict[str, str]:
        """By resource: what was done to it. The URL that was printed shows the page, and the token in it is good."""
        done = self.run("up", "--port", str(self.port), *arguments)
        url, _, token = done.stdout.strip().partition("/#token=")
        assert url == f"http://127.0.0.1:{self.port}"
        with urllib.request.urlopen(url, timeout=30) as page:
            assert b"<title>VaporForge</title>" in page.read()
        assert "sessions" in self.ask("GET", "/api/sessions", token=token)
        return self._changes(done.stderr, VERBS)

    def preview(self, *arguments: str) -> dict[str, str]:
        """By resource: what the next `up` would do to it, as `up` calls it."""
        done = self.run("up", "--preview", "--port", str(self.port), *arguments)
        assert "Sessions with a sandbox at once: " in done.stdout
        return self._changes(done.stdout, PLANS)

    def _changes(self, output: str, verbs: dict[str, str]) -> dict[str, str]:
        changes: dict[str, str] = {}
        for line in output.splitlines():
            for told, verb in verbs.items():
                if line.startswith(f"    {told} "):
                    words = line.removeprefix(f"    {told} ").split()
                    changes.setdefault(f"{words[0]} {words[1].removeprefix(self.id + '-')}", verb)
                    break
        return changes

    @property
    def id(self) -> str:
        return f"vaporforge-{self.stack}"

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, token: str = "") -> Any:
        token = token or self.run("token", "--sub", "ada").stdout.strip()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                # "Try again", as every client does: on a busy machine the store may be slow for a while.
                if error.code != 503 or time.monotonic() > deadline:
                    raise
            time.sleep(0.5)

    def chat(self, session: str, prompt: str) -> str:
        """Send a prompt over a WebSocket, as an API client does; the text of the answer, whose frames came all."""
        token = self.run("token", "--sub", "ada").stdout.strip()

        async def answer() -> list[dict[str, Any]]:
            query = {"sessionId": session, "prompt": prompt}
            bearer = {"Authorization": f"Bearer {token}"}
            url = f"http://127.0.0.1:{self.port}/api/sdk/ws"
            async with (
                asyncio.timeout(180),
                aiohttp.ClientSession() as http,
                http.ws_connect(url, params=query, headers=bearer) as socket,
            ):
                return await read_all(socket)

        frames = asyncio.run(answer())
        assert_whole(frames)
        return text_of(frames)

    def pulumi(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pulumi", *arguments],
            cwd=self.folder,
            env={**self.environ, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """Whatever a failed test left of the stack goes at the end."""
    folder = tmp_path_factory.mktemp("deploy")
    copy_project(folder / "tree")
    environ = scripts_environment(folder / "state", folder / "tree")
    tree = Tree(folder / "tree", environ, f"e2e{secrets.token_hex(4)}", free_port())
    yield tree
    tree.run("down", "--volumes", check=False)


@pytest.fixture(scope="module")
def engine(tree: Tree) -> Iterator[docker.DockerClient]:
    client = docker.from_env(environment=tree.environ)
    yield client
    client.close()


def left(engine: docker.DockerClient, tree: Tree) -> list[str]:
    """What is on the engine of the stack."""
    labelled: dict[str, Any] = {"label": f"vaporforge.stack={tree.id}"}
    found = [f"container {item.name}" for item in engine.containers.list(all=True, filters=labelled)]
    found += [f"network {item.name}" for item in engine.networks.list(filters=labelled)]
    found += [f"volume {item.name}" for item in engine.volumes.list(filters=labelled)]
    # An image that another stack has built alike bears its name too.
    images = engine.images.list(filters={"reference": f"{tree.id}/*"})
    found += [f"image {tag}" for item in images for tag in item.tags if tag.startswith(f"{tree.id}/")]
    return sorted(found)


def sandbox(engine: docker.DockerClient, tree: Tree, session: str) -> Container:
    """The running container of a session."""
    labels: dict[str, Any] = {"label": [f"vaporforge.stack={tree.id}", f"vaporforge.session={session}"]}
    [container] = engine.containers.list(filters=labels)
    return container


def assert_limited(engine: docker.DockerClient, tree: Tree) -> None:
    """Every part is, as the engine has it."""
    containers = engine.containers.list(filters={"label": f"vaporforge.stack={tree.id}"})
    roles = {container.labels["vaporforge.role"] for container in containers}
    assert roles >= {"gateway", "launcher", "proxy", "table"}
    for container in containers:
        if container.labels["vaporforge.role"] == "sandbox":
            continue  # has its own, by the launcher
        host = container.attrs["HostConfig"]
        files = [item for item in host["Ulimits"] if item["Name"] == "nofile"]
        assert host["Memory"] > 0, container.name
        assert host["MemorySwap"] in {host["Memory"], -1}, container.name
        assert host["PidsLimit"] == 512, container.name
        assert files == [{"Name": "nofile", "Soft": 16384, "Hard": 16384}], container.name


def test_the_life_of_a_stack(
    tree: Tree, engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One test, for each step needs the one before it."""
    other = tmp_path_factory.mktemp("other")
    # Asked first: it tells all that would be made, makes nothing of it, and leaves no stack behind.
    planned = tree.preview()
    assert left(engine, tree) == []
    assert "is not deployed" in tree.run("token", check=False).stderr

    # A first deployment.
    first = tree.up()
    assert first == planned
    assert set(first.values()) == {"made"}
    assert {name.split()[0] for name in first} >= set(OURS)
    assert_limited(engine, tree)
    session = tree.ask("POST", "/api/sessions", {"title": "kept"})["id"]
    assert tree.ask("GET", "/api/version")["version"] == "0.20.0"
    tree.chat(session, "Create a file called test.txt in /workspace with 'Hello from before'")
    before = sandbox(engine, tree, session)

    # Again: nothing changes, as a preview says. One with a bad value is refused, and does not remember it.
    assert tree.preview() == {}
    refused = tree.run("up", "--preview", "--set", "caBundle=no/such.pem", check=False)
    assert refused.returncode == 1
    assert "error: vaporforge:caBundle is 'no/such.pem', which cannot be read" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert tree.up() == {}

    # An edit of the gateway replaces gateways and launcher, and nothing else; the proxy stays up.
    proxies: dict[str, Any] = {"label": [f"vaporforge.stack={tree.id}", "vaporforge.role=proxy"]}
    [proxy] = engine.containers.list(filters=proxies)
    with (tree.folder / "gateway" / "web" / "pages.py").open("a") as file:
        file.write("# a change\n")
    running = left(engine, tree)
    planned = tree.preview()
    assert left(engine, tree) == running
    changes = tree.up()
    assert changes == planned
    assert changes == {
        "Image gateway": "changed",
        "ImageTag gateway-tag": "made anew",
        "Container gateway-0": "made anew",
        "Container gateway-1": "made anew",
        "Container launcher": "made anew",
        "ProcessLimits processes": "changed",
    }
    assert_limited(engine, tree)
    assert [found.id for found in engine.containers.list(filters=proxies)] == [proxy.id]
    gateways = engine.images.list(filters={"reference": f"{tree.id}/gateway"})
    assert len(gateways) == 1, "the old image's name is gone"

    # The session goes on: its sandbox was left alone, and its file is there.
    assert sandbox(engine, tree, session).id == before.id
    assert "Hello from before" in tree.chat(session, "Read the file test.txt")

    # An image that somebody pruned is built again, and nothing else happens.
    [agent] = engine.images.list(filters={"reference": f"{tree.id}/agent"})
    # The same image may have names of other stacks too.
    [name] = [tag for tag in agent.tags if tag.startswith(f"{tree.id}/")]
    engine.images.remove(name, force=True)
    assert tree.up() == {"Image agent": "made anew"}

    # Another state knows nothing of this one: it may not touch what is here.
    stranger = replace(tree, environ={**tree.environ, **scripts_environment(other / "state", tree.folder)})
    refused = stranger.run("up", "--port", str(free_port()), check=False)
    assert refused.returncode == 1
    assert "--stack" in refused.stderr
    assert sandbox(engine, tree, session).id == before.id

    # Down: containers, networks and images go, with the sandbox; the data stays.
    tree.run("down")
    kept = left(engine, tree)
    assert all(item.startswith("volume ") for item in kept), kept
    assert any(session in item for item in kept), kept
    assert not any("-secrets-" in item for item in kept), kept
    with pytest.raises(docker.errors.NotFound):
        engine.containers.get(str(before.id))

    # Up again: the session is still there, and so is what signs tokens.
    again = tree.up()
    assert "Volume table" not in again
    assert "Secrets secrets" not in again
    assert tree.ask("GET", f"/api/sessions/{session}")["title"] == "kept"

    assert "Hello from before" in tree.chat(session, "Read the file test.txt")

    # Forgotten: nothing of it is left, not even the stack.
    tree.run("down", "--volumes")
    assert left(engine, tree) == []
    assert tree.run("token", check=False).stderr == (
        f"error: the stack {tree.stack} is not deployed; scripts/up --stack {tree.stack} does it\n"
    )


def test_nothing_of_it_is_written_into_the_repository(tree: Tree) -> None:
    for name in ("Pulumi.yaml", "infra/stacks"):
        ours, theirs = ROOT / name, tree.folder / name
        files = [path.relative_to(ours) for path in ours.rglob("*")] if ours.is_dir() else [Path()]
        copied = [path.relative_to(theirs) for path in theirs.rglob("*")] if theirs.is_dir() else [Path()]
        assert sorted(files) == sorted(copied)
        assert all((ours / path).read_bytes() == (theirs / path).read_bytes() for path in files)


def test_a_bad_value_is_refused_before_anything_is_made(tree: Tree, engine: docker.DockerClient) -> None:
    before = left(engine, tree)
    done = tree.run("up", "--set", "sandboxMemoryMb=12", check=False)
    assert done.returncode == 1
    assert "error: vaporforge:sandboxMemoryMb is 12; it must be 256 or more" in done.stderr
    assert "Traceback" not in done.stderr
    assert left(engine, tree) == before
    tree.run("down", "--volumes")


def test_the_language_host_s_way_of_running_the_program_declares_the_same(tree: Tree) -> None:
    """The program as Pulumi's own Python language host starts it: `runpy` on infra/__main__.py, in that folder."""
    script = (
        "import os, runpy, sys\n"
        "os.chdir(sys.argv[1])\n"
        "from tests.infra.mocked import run\n"
        "found = run(lambda: runpy.run_path('__main__.py', run_name='__main__'))\n"
        "print(sorted(found.resources))\n"
    )
    inline = (
        "from tests.infra.mocked import run\n"
        "from infra.program import program\n"
        "print(sorted(run(program).resources))\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code, str(ROOT / "infra")],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout
        for code in (script, inline)
    ]
    assert outputs[0] == outputs[1]
    assert "vaporforge-test-gateway-0" in outputs[0]


def test_the_project_s_configuration_satisfies_pulumi(tree: Tree) -> None:
    """Pulumi's own check of Pulumi.yaml and the stacks' files, without this machine's overrides."""
    environ = {"PULUMI_CONFIG_PASSPHRASE": "of this test"}
    for stack in ("dev", "staging", "prod"):
        assert tree.pulumi("stack", "init", stack, **environ).returncode == 0
        shown = tree.pulumi("config", "--stack", stack, "--json", **environ)
        assert shown.returncode == 0, shown.stderr
        expected = yaml.safe_load((ROOT / "infra" / "stacks" / f"Pulumi.{stack}.yaml").read_text())["config"]
        values = {key: item["value"] for key, item in json.loads(shown.stdout).items()}
        assert {key: str(value) for key, value in expected.items()}.items() <= values.items()
