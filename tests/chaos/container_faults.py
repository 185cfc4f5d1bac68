"""What can be broken of sandboxes that are containers of an engine on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random
from typing import Any, Protocol

from docker.errors import APIError
from docker.models.containers import Container

from tests.chaos.container_logs import is_mid_run
from tests.chaos.target import AGENT_KILL, SANDBOX_KILL, Busy, Fault

KILL_AGENTS = """\
import os, pathlib, signal
for entry in pathlib.Path("/proc").iterdir():
    if entry.name.isdigit() and int(entry.name) != os.getpid():
        if b"container.agents" in (entry / "cmdline").read_bytes():
            os.kill(int(entry.name), signal.SIGKILL)
            print(entry.name)
"""


class Containers(Protocol):
    """What a target has for these faults."""

    random: Random
    busy: Busy

    async def sandbox(self, session: str) -> Container | None:
        """The container of a session, when it runs."""

    async def in_thread(self, call: Callable[..., Any], *args: Any) -> Any:
        """What the engine's SDK does blocks."""


def container_faults(target: Containers) -> Mapping[str, Fault]:
    """By name."""
    breaker = _Breaker(target)
    return {
        SANDBOX_KILL: breaker.kill_sandbox,
        "sandbox paused": breaker.freeze_sandbox,
        AGENT_KILL: breaker.kill_agent,
    }


class _Breaker:
    def __init__(self, target: Containers) -> None:
        self._target = target
        self._random = target.random
        self._killed: set[str] = set()
        """Runs whose sandbox was killed: the next one on the volume is not in the middle of them."""

    async def kill_sandbox(self) -> bool:
        """Frozen first, so that its run is certainly on when it dies."""
        for container, run in await self._victims():
            if run not in self._killed and await self._did(container.pause):
                if await self._target.in_thread(is_mid_run, container, run):
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
            if await self._target.in_thread(is_mid_run, container, run):
                done = await self._target.in_thread(container.exec_run, ["python3", "-c", KILL_AGENTS])
                return bool(done.exit_code == 0 and done.output)
        return False

    async def _did(self, call: Callable[[], object]) -> bool:
        with suppress(APIError):
            await self._target.in_thread(call)
            return True
        return False

    async def _victims(self) -> list[tuple[Container, str]]:
        busy = list(self._target.busy())
        found = []
        for session, run in self._random.sample(busy, len(busy)):
            container = await self._target.sandbox(session)
            if container is not None:
                found.append((container, run))
        return found
