"""What can be broken in the `stack` target."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from docker.errors import APIError
from docker.models.containers import Container

from tests.chaos.container_logs import is_mid_run
from tests.chaos.target import AGENT_KILL, SANDBOX_KILL, Fault

if TYPE_CHECKING:
    from tests.chaos.stack import DockerStack

KILL_AGENTS = """\
import os, pathlib, signal
for entry in pathlib.Path("/proc").iterdir():
    if entry.name.isdigit() and int(entry.name) != os.getpid():
        if b"container.agents" in (entry / "cmdline").read_bytes():
            os.kill(int(entry.name), signal.SIGKILL)
            print(entry.name)
"""


def stack_faults(stack: DockerStack) -> Mapping[str, Fault]:
    """By name. Only one gateway is away at a time: with none nobody could be served."""
    breaker = _Breaker(stack)
    return {
        "gateway SIGKILL": lambda: breaker.restart("gateway", kill=True),
        "gateway SIGTERM": lambda: breaker.restart("gateway"),
        "gateway paused": lambda: breaker.freeze("gateway", 2, 15),  # beyond the lease, often
        "launcher SIGKILL": lambda: breaker.restart("launcher", kill=True),
        "proxy stopped, started": lambda: breaker.restart("proxy"),
        "DynamoDB stopped, started": lambda: breaker.restart("table"),
        "DynamoDB paused": lambda: breaker.freeze("table", 1, 6),
        SANDBOX_KILL: breaker.kill_sandbox,
        "sandbox paused": breaker.freeze_sandbox,
        AGENT_KILL: breaker.kill_agent,
    }


class _Breaker:
    def __init__(self, stack: DockerStack) -> None:
        self._stack = stack
        self._random = stack.random
        self._killed: set[str] = set()
        """Runs whose sandbox was killed: the next one on the volume is not in the middle of them."""

    async def restart(self, role: str, *, kill: bool = False) -> bool:
        parts = await self._stack.parts(role)
        if not parts:  # such as a table in AWS
            return False
        part = self._random.choice(parts)
        await self._stack.in_thread(part.kill if kill else part.stop)
        await asyncio.sleep(self._random.uniform(0, 2))
        await self._stack.mend(part)
        return True

    async def freeze(self, role: str, least: float, most: float) -> bool:
        parts = await self._stack.parts(role)
        if not parts:
            return False
        part = self._random.choice(parts)
        await self._stack.in_thread(part.pause)
        try:
            await asyncio.sleep(self._random.uniform(least, most))
        finally:
            await self._stack.mend(part)
        return True

    async def kill_sandbox(self) -> bool:
        """Frozen first, so that its run is certainly on when it dies."""
        for container, run in await self._victims():
            if run not in self._killed and await self._did(container.pause):
                if await self._stack.in_thread(is_mid_run, container, run):
                    self._killed.add(run)
                    return await self._did(container.kill)
                await self._did(container.unpause)
        return False

    async def freeze_sandbox(self) -> bool:
        for container, _ in await self._victims():
            if await self._did(container.pause):
                try:
                    await asyncio.sleep(self._random.uniform(1, 4))
                finally:
                    await self._did(container.unpause)
                return True
        return False

    async def kill_agent(self) -> bool:
        for container, run in await self._victims():
            if await self._stack.in_thread(is_mid_run, container, run):
                done = await self._stack.in_thread(container.exec_run, ["python3", "-c", KILL_AGENTS])
                return done.exit_code == 0 and done.output != b""
        return False

    async def _did(self, call: Callable[[], object]) -> bool:
        with suppress(APIError):
            await self._stack.in_thread(call)
            return True
        return False

    async def _victims(self) -> list[tuple[Container, str]]:
        busy = list(self._stack.busy())
        found = []
        for session, run in self._random.sample(busy, len(busy)):
            container = await self._stack.sandbox(session)
            if container is not None:
                found.append((container, run))
        return found
