"""A VaporForge of the tests' own, deployed as `scripts/up` does it: Pulumi's engine, Docker, proxy, two gateways."""

from __future__ import annotations

import io
import json
import secrets
import shutil
import socket
import subprocess
import sys
import tarfile
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import docker
import pytest
from playwright.async_api import expect

from tests.conftest import ROOT, free_port
from tests.e2e.model_api import ModelApi
from tests.e2e.people import People
from tests.gateway.stack import SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from docker.models.containers import Container
    from playwright.async_api import Browser

    from tests.e2e.people import Site

COPIED = ("Pulumi.yaml", ".dockerignore", "requirements.txt", "container", "gateway", "infra", "scripts")

UP_SECONDS = 1500  # the image of the real agent fetches 365 MB when nobody has built it before

PATIENCE_MS = 180_000
"""On one machine a whole stack, a browser and whatever else runs share the cores; this is a limit and no delay."""

AGENT_PORT = 8765

PING = f"""
import os
from urllib.request import Request, urlopen

headers = {{"Authorization": "Bearer " + os.environ["VF_SANDBOX_TOKEN"]}}
print(urlopen(Request("http://127.0.0.1:{AGENT_PORT}/ping", headers=headers), timeout=5).read().decode())
"""


class Deployed:
    """A stack with a name of its own, deployed from a copy of the project that tests may change.

    `tree`: the copy. Its users' tokens are signed with `tests.gateway.stack.SECRET`."""

    def __init__(self, agent: str, folder: Path) -> None:
        self.name = f"e2e-{agent}-{secrets.token_hex(3)}"
        self.id = f"vaporforge-{self.name}"
        self.tree = folder / "tree"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environ = scripts_environment(folder / "state", self.tree)
        self.engine = docker.from_env(environment=self.environ)
        self._agent = agent
        copy_project(self.tree)

    def deploy(self, *more: str) -> None:
        """The first `scripts/up`, with further arguments."""
        self.up(
            "--agent", self._agent, "--port", str(self.port), "--secret", "jwtSecret", *more, secret=SECRET
        )

    def up(self, *arguments: str, secret: str = "") -> None:
        """`scripts/up`. `secret`: what it reads from stdin for a `--secret` among the arguments."""
        self._command("up", *arguments, secret=secret)

    def rotate(self, *arguments: str) -> None:
        """`scripts/rotate`."""
        self._command("rotate", *arguments)

    def destroy(self) -> None:
        """`scripts/down --volumes`. Raises `AssertionError` when the engine still has anything of the stack."""
        try:
            self._command("down", "--volumes")
            stack = f"vaporforge.stack={self.id}"
            left = [item.name for item in self.engine.containers.list(all=True, filters={"label": stack})]
            left += [item.name for item in self.engine.volumes.list(filters={"label": stack})]
            left += [item.name for item in self.engine.networks.list(filters={"label": stack})]
            assert not left, left
        finally:
            self.engine.close()

    def containers(self, *labels: str, all: bool = False) -> Sequence[Container]:  # noqa: A002 - the engine's word
        """Those of the stack with further labels, such as `vaporforge.role=gateway`."""
        wanted = [f"vaporforge.stack={self.id}", *labels]
        return self.engine.containers.list(all=all, filters={"label": wanted}, ignore_removed=True)

    def sandbox(self, session: str) -> Container:
        """The running container of a session."""
        [container] = self.containers(f"vaporforge.session={session}")
        return container

    def ping(self, session: str) -> dict[str, Any]:
        """What the session's agent server says of itself."""
        answer: dict[str, Any] = json.loads(run_in(self.sandbox(session), "/opt/venv/bin/python", "-c", PING))
        return answer

    def file(self, session: str, path: str) -> str:
        """A file as the session's container has it."""
        chunks, _ = self.sandbox(session).get_archive(path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            [member] = archive.getmembers()
            content = archive.extractfile(member)
            assert content is not None
            return content.read().decode()

    def serving(self, session: str) -> Container:
        """The gateway that holds the most connections to the session's sandbox."""
        return busiest(self.containers("vaporforge.role=gateway"), self.sandbox(session))

    def public_address(self) -> str:
        """This machine's address on the stack's public network, where its gateways reach it and nobody else does."""
        labels = [f"vaporforge.stack={self.id}", "vaporforge.role=public"]
        [network] = self.engine.networks.list(filters={"label": labels})
        return str(network.attrs["IPAM"]["Config"][0]["Gateway"])

    def _command(self, command: str, *arguments: str, secret: str = "") -> None:
        argv = [sys.executable, "-m", f"infra.cli.{command}", "--stack", self.name, *arguments]
        done = subprocess.run(
            argv,
            cwd=self.tree,
            env=self.environ,
            input=secret,
            capture_output=True,
            text=True,
            check=False,
            timeout=UP_SECONDS,
        )
        assert done.returncode == 0, f"{command} failed:\n{done.stderr}"


class Claude:
    """A stack whose agent is the real binary, and the fake of the model's API that its broker calls (`api`)."""

    KEY = "sk-ant-api-marker-0b5f3d1e9c27"
    """What the deployment pays with; it must never be seen in a sandbox."""

    def __init__(self, folder: Path) -> None:
        self.stack = Deployed("claude", folder)
        self._has_key = False

    @contextmanager
    def deployed(self) -> Iterator[Self]:
        """At first without a key. Its sandboxes reach registries of packages."""
        try:
            self.stack.deploy("--set", "egress=registries")
            with ModelApi(self.stack.public_address()) as self.api:
                yield self
        finally:
            self.stack.destroy()

    def give_key(self, *more: str) -> None:
        """Set the deployment's key, as a person would, unless it is set; `more`: what else is set with it."""
        if not self._has_key:
            model = ("--set", f"modelApiUrl={self.api.url}", "--secret", "modelApiKey")
            self.stack.up(*model, *more, secret=self.KEY)
            self._has_key = True

    def take_key(self) -> None:
        """Forget the deployment's key."""
        if self._has_key:
            self.stack.up("--set", "modelApiKey=")
            self._has_key = False


def busiest(gateways: Sequence[Container], sandbox: Container) -> Container:
    """The gateway that holds the most connections to a sandbox."""
    networks = sandbox.attrs["NetworkSettings"]["Networks"].values()
    addresses = {socket.inet_aton(network["IPAddress"])[::-1].hex().upper() for network in networks}
    peers = {f"{address}:{AGENT_PORT:04X}" for address in addresses}

    def connections(gateway: Container) -> int:
        lines = run_in(gateway, "cat", "/proc/net/tcp").splitlines()[1:]
        return sum(line.split()[2] in peers for line in lines)

    held = {gateway: connections(gateway) for gateway in gateways}
    found = max(held, key=lambda gateway: held[gateway])
    assert held[found] > 0, "no gateway is connected to the sandbox"
    return found


def run_in(container: Container, *argv: str, user: str = "") -> str:
    """What a command in a container writes. `user`: the container's own when empty. Raises `AssertionError` with it
    when the command fails."""
    status, output = container.exec_run(list(argv), user=user)
    assert isinstance(output, bytes)
    assert status == 0, output
    return output.decode()


@asynccontextmanager
async def visitors(stack: Site, browser: Browser, name: str, secret: str = SECRET) -> AsyncIterator[People]:
    """People in front of a deployed stack. `name`: of the test, for their pictures."""
    expect.set_options(timeout=PATIENCE_MS)
    people = People(browser, stack, ROOT / "artifacts" / "deployed", name, PATIENCE_MS, secret)
    yield people
    await people.leave()


@pytest.fixture(scope="session")
def demo_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """A stack with the demo agent, for all tests of a session."""
    stack = Deployed("demo", tmp_path_factory.mktemp("demo"))
    try:
        stack.deploy()
        yield stack
    finally:
        stack.destroy()


@pytest.fixture(scope="module")
def claude_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Claude]:
    """A stack with the real agent, for all tests of a module; at first without a key. It ends with them: its parts'
    health checks cost also a stack that nobody uses."""
    with Claude(tmp_path_factory.mktemp("claude")).deployed() as claude:
        yield claude


def scripts_environment(state: Path, tree: Path) -> dict[str, str]:
    """The environment as the scripts have it in `tree`; the new folder `state` holds Pulumi's state and backend, and
    what the set-up says of the images that it made."""
    command = ["bash", "-c", ". scripts/lib/env.sh && env -0"]
    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout
    environ = dict(item.split("=", 1) for item in told.split("\0") if item)
    (state / "backend").mkdir(parents=True)
    for name in ("base-image", "dynamodb-image"):
        shutil.copy(Path(environ["VF_STATE"]) / name, state)
    kept = {key: value for key, value in environ.items() if not key.startswith("PULUMI_")}
    own = {
        "VF_STATE": str(state),
        "PULUMI_BACKEND_URL": (state / "backend").as_uri(),
        "PYTHONPATH": str(tree),
    }
    return kept | own


def copy_project(tree: Path) -> None:
    """What a deployment needs of the project, in a new folder that tests may change."""
    leave = shutil.ignore_patterns("node_modules", "__pycache__")
    tree.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=leave, symlinks=True)
        else:
            shutil.copy(ROOT / name, tree)
    (tree / ".venv").symlink_to(ROOT / ".venv")
