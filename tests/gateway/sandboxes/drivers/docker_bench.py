"""A stack of its own on the real Docker engine: networks, launchers, drivers; nothing of it is left behind."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import docker
import pytest
from aiohttp import web

from gateway.config import Settings
from gateway.ids import new_id
from gateway.launcher import spec
from gateway.launcher.app import build_launcher
from gateway.launcher.engine import DockerEngine
from gateway.launcher.settings import LauncherSettings
from gateway.sandboxes.drivers.docker import DockerDriver

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

ROOT = Path(__file__).parents[4]
SECRET = "l" * 32

POOL = "10.213.0.0/16"
"""What sandboxes' networks are cut out of: the stacks' own, so that these see each other's."""

_BUILD = """
. scripts/lib/env.sh
export DOCKER_BUILDKIT=1
exec docker build --quiet --tag "$1" --file "$2" \
    --build-arg BASE="$(cat "$VF_STATE/base-image")" \
    --build-arg CA_CERTS="$(cat "${VF_CA_BUNDLE:-/dev/null}")" "$3"
"""


def build(tag: str, dockerfile: str, context: str) -> str:
    """Build an image as a stack does, on the base image that the set-up chose; returns the tag."""
    done = subprocess.run(
        ["bash", "-euc", _BUILD, "build", tag, dockerfile, context],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return tag


@pytest.fixture(scope="session")
def agent_image() -> str:
    """The agent's image as it is now, without the real agent's binary."""
    return build("vaporforge-test-agent", "container/Dockerfile", "container")


class DockerBench:
    """Two launchers for one stack, in this process; further ones with other settings when asked for."""

    def __init__(self, image: str, **changes: Any) -> None:
        self.stack = f"test-{new_id()}"
        self.launcher_settings = LauncherSettings(
            stack=self.stack,
            launcher_secret=SECRET,
            sandbox_secret="s" * 32,
            image=image,
            networks=POOL,
            from_host=True,
            memory_mb=256,
            cpus=1.0,
            pids=128,
            **changes,
        )
        self.settings = Settings(
            stack=self.stack,
            jwt_secret="j" * 32,
            sandbox_secret="s" * 32,
            credential_key="c" * 32,
            launcher_secret=SECRET,
        )
        self.api = docker.APIClient(version="auto")
        self._exit = AsyncExitStack()
        self._urls: list[str] = []
        self._failing = ""
        self._drivers = 0

    async def __aenter__(self) -> Self:
        self._exit.callback(self.api.close)
        self._exit.callback(self._remove_all)
        self._urls = [await self.launcher(), await self.launcher()]
        self._failing = await self.launcher(agent="'")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    def network(self, name: str) -> None:
        """An internal network that goes with the bench."""
        self.api.create_network(name, internal=True, labels={spec.STACK_LABEL: self.stack})

    async def launcher(self, **changes: Any) -> str:
        """The URL of one more launcher."""
        settings = replace(self.launcher_settings, **changes)
        runner = web.AppRunner(build_launcher(settings, DockerEngine(settings)), access_log=None)
        await runner.setup()
        self._exit.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    def driver(self) -> DockerDriver:
        self._drivers += 1
        return self.driver_at(self._urls[self._drivers % len(self._urls)])

    def driver_at(self, url: str) -> DockerDriver:
        driver = DockerDriver(replace(self.settings, launcher_url=url))
        self._exit.push_async_callback(driver.close)
        return driver

    def driver_of_failing(self) -> DockerDriver:
        return self.driver_at(self._failing)

    def name(self, session: str) -> str:
        return spec.container_name(self.launcher_settings, session)

    async def engine(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A blocking call of the engine, off the loop."""
        return await asyncio.to_thread(call, *args, **kwargs)

    async def inspect(self, session: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.engine(self.api.inspect_container, self.name(session))
        return found

    async def run(self, session: str, *command: str, user: str = str(spec.AGENT_UID)) -> tuple[int, str]:
        """Run a command in the sandbox as its agent would: exit code and output."""

        def run() -> tuple[int, str]:
            execution = self.api.exec_create(self.name(session), list(command), user=user)["Id"]
            output = self.api.exec_start(execution).decode(errors="replace")
            return self.api.exec_inspect(execution)["ExitCode"], output

        return await asyncio.to_thread(run)

    async def kill(self, session: str) -> None:
        await self.engine(self.api.kill, self.name(session), signal="SIGKILL")

    async def alive(self, session: str) -> int:
        filters = {**self._filters(session), "status": ["running"]}
        return len(await self.engine(self.api.containers, filters=filters))

    async def leftovers(self, session: str) -> Sequence[str]:
        filters = self._filters(session)
        containers = await self.engine(self.api.containers, all=True, filters=filters)
        volumes = await self.engine(self.api.volumes, filters=filters)
        networks = await self.engine(self.api.networks, filters=filters)
        return [
            *(name for item in containers for name in item["Names"]),
            *(item["Name"] for item in volumes["Volumes"] or ()),
            *(item["Name"] for item in networks),
        ]

    def _filters(self, session: str) -> dict[str, list[str]]:
        return {"label": [f"{spec.STACK_LABEL}={self.stack}", f"{spec.SESSION_LABEL}={session}"]}

    def _remove_all(self) -> None:
        filters = {"label": [f"{spec.STACK_LABEL}={self.stack}"]}
        for container in self.api.containers(all=True, filters=filters):
            self.api.remove_container(container["Id"], force=True, v=True)
        for volume in self.api.volumes(filters=filters)["Volumes"] or ():
            self.api.remove_volume(volume["Name"])
        for network in self.api.networks(filters=filters):
            self.api.remove_network(network["Id"])
