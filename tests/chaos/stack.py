"""The `stack` target: a deployed docker stack, broken through the Docker engine; people come in by its proxy."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from tests.chaos.child import ROOT
from tests.chaos.container_logs import frames_in
from tests.chaos.stack_faults import stack_faults
from tests.chaos.target import Busy, Fault, Gauge

P = ParamSpec("P")
T = TypeVar("T")

HEALTHY_SECONDS = 300.0
PROXY_PORT = "8080/tcp"


class StackError(Exception):
    """The stack is not there, or is not what it should be; the message is all that its user reads."""


class DockerStack:
    """`name`: the stack's, as `scripts/up --stack` has it. `base` and `jwt`: where they are not to be found out.

    Use it as an async context manager: whatever was stopped or frozen runs again at its end.
    """

    def __init__(self, name: str, seed: int, *, base: str = "", jwt: str = "") -> None:
        self.busy: Busy = list
        self.notes: list[str] = []
        self.random = random.Random(seed)
        self._name = name
        self._id = f"vaporforge-{name}"
        self._base = base
        self._jwt = jwt
        self._engine: Any = None

    async def __aenter__(self) -> Self:
        self._engine = await self.in_thread(docker.from_env, timeout=120)
        if not await self.parts("gateway"):
            raise StackError(
                f"no gateway of a stack {self._name} runs here; scripts/up --stack {self._name} makes one"
            )
        self._base = self._base or await self.in_thread(self._find_proxy)
        self._jwt = self._jwt or await self.in_thread(self._make_token)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for role in ("table", "launcher", "gateway", "proxy", "sandbox"):
            for container in await self.parts(role):
                await self.mend(container, start=role != "sandbox")
        await self.in_thread(self._engine.close)

    # -- what a target has --
    @property
    def faults(self) -> Mapping[str, Fault]:
        """Every part of the stack, killed, stopped and frozen."""
        return stack_faults(self)

    def url(self) -> str:
        """The proxy."""
        return self._base

    def token(self, user: str) -> str:
        """Made once, by `scripts/token --sub chaos`, whose user this is."""
        return self._jwt

    async def written(self, session: str, run: str) -> list[bytes] | None:
        """See `Target`: out of the sandbox's container while there is one."""
        container = await self.sandbox(session)
        if container is None:
            return None
        return await self.in_thread(frames_in, container, run)

    async def leftovers(self, sessions: Sequence[str]) -> list[str]:
        """See `Target`: other people's sandboxes do not count."""
        label = {"label": [f"vaporforge.stack={self._id}", "vaporforge.role=sandbox"]}
        containers = await self.in_thread(
            lambda: self._engine.containers.list(all=True, filters=label, ignore_removed=True)
        )
        volumes = await self.in_thread(lambda: self._engine.volumes.list(filters=label))
        mine = set(sessions)
        return [
            *(
                f"container {item.name}"
                for item in containers
                if item.labels.get("vaporforge.session") in mine
            ),
            *(
                f"volume {item.name}"
                for item in volumes
                if (item.attrs.get("Labels") or {}).get("vaporforge.session") in mine
            ),
        ]

    async def asleep(self, session: str) -> bool:
        """See `Target`."""
        return await self.sandbox(session) is None

    async def gauges(self) -> Mapping[str, Gauge]:
        """See `Target`: the first gateway and the launcher."""
        [gateway, *_], [launcher] = await self.parts("gateway"), await self.parts("launcher")
        return {
            "gateway": await self.in_thread(_gauge, gateway),
            "launcher": await self.in_thread(_gauge, launcher),
        }

    async def restart(self, number: int) -> None:
        """See `Target`."""
        other = (await self.parts("gateway"))[-1]
        with suppress(APIError):  # it is down already: the engine starts one again that ended by itself
            await self.in_thread(other.kill if number % 2 == 0 else other.stop)
        await self.mend(other)

    # -- what faults need --
    async def parts(self, role: str, *labels: str) -> list[Container]:
        """The stack's containers of a role, whatever state they are in."""
        wanted = [f"vaporforge.stack={self._id}", f"vaporforge.role={role}", *labels]
        found = await self.in_thread(
            lambda: self._engine.containers.list(all=True, filters={"label": wanted}, ignore_removed=True)
        )
        return sorted(found, key=lambda container: str(container.name))

    async def sandbox(self, session: str) -> Container | None:
        """The container of a session, when it runs."""
        found = await self.parts("sandbox", f"vaporforge.session={session}")
        return found[0] if found and found[0].status in ("running", "paused") else None

    async def mend(self, container: Container, *, start: bool = True) -> None:
        """Let it go on, start it, and wait until it is healthy; one that is gone meanwhile is fine."""
        with suppress(NotFound):
            await self.in_thread(container.reload)
            if container.status == "paused":
                with suppress(APIError):
                    await self.in_thread(container.unpause)
            elif container.status == "exited" and start:
                await self.in_thread(container.start)
            if start:
                await self._healthy(container)

    async def in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The SDK blocks."""
        return await asyncio.to_thread(call, *args, **kwargs)

    async def _healthy(self, container: Container) -> None:
        deadline = time.monotonic() + HEALTHY_SECONDS
        while True:
            await self.in_thread(container.reload)
            health = container.attrs["State"].get("Health", {}).get("Status", "healthy")
            if container.status == "running" and health == "healthy":
                return
            if time.monotonic() > deadline:
                raise StackError(
                    f"{container.name} is {container.status}, {health} after {HEALTHY_SECONDS:.0f} s"
                )
            await asyncio.sleep(0.3)

    def _find_proxy(self) -> str:
        label = [f"vaporforge.stack={self._id}", "vaporforge.role=proxy"]
        for container in self._engine.containers.list(filters={"label": label}):
            for bound in container.ports.get(PROXY_PORT) or ():
                host = "127.0.0.1" if bound["HostIp"] in ("0.0.0.0", "::", "") else bound["HostIp"]
                return f"http://{host}:{bound['HostPort']}"
        raise StackError("the stack's proxy has no published port here; say --url")

    def _make_token(self) -> str:
        command = [str(ROOT / "scripts/token"), "--stack", self._name, "--sub", "chaos"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"no token: {done.stderr.strip()}; say --token-file")
        return done.stdout.strip()


GAUGE = "cd /proc/$(cut -d' ' -f1 /proc/1/task/1/children) && ls fd | wc -l && cat status"
"""The container's first process is tini; its child is the service."""


def _gauge(container: Container) -> Gauge:
    code, output = container.exec_run(["sh", "-c", GAUGE])
    if code or not isinstance(output, bytes):
        raise StackError(f"{container.name} does not tell its memory: {output!r}")
    files, _, status = output.decode().partition("\n")
    return Gauge.of(status, int(files))
