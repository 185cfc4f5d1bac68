"""What can be broken in the `processes` target."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.chaos.service_faults import service_faults
from tests.chaos.target import AGENT_KILL, DISK_FULL, SANDBOX_KILL, Fault

if TYPE_CHECKING:
    from tests.chaos.processes import Processes


def process_faults(target: Processes) -> Mapping[str, Fault]:
    """By name; filling the disk only where there is a disk of our own to fill."""
    breaker = _Breaker(target)
    faults: dict[str, Fault] = {
        **service_faults(target),
        SANDBOX_KILL: breaker.kill_sandbox,
        "sandbox SIGSTOP, SIGCONT": breaker.freeze_sandbox,
        AGENT_KILL: breaker.kill_agent,
        "DynamoDB stopped, started": breaker.restart_store,
    }
    if target.disk.mounted:
        faults[DISK_FULL] = breaker.fill_disk
    return faults


class _Breaker:
    def __init__(self, target: Processes) -> None:
        self._target = target
        self._random = target.random
        self._killed: set[str] = set()
        """Runs whose sandbox was killed: the next one on the volume is not in the middle of them."""

    async def restart_store(self) -> bool:
        await self._target.dynamodb.end()
        await asyncio.sleep(self._random.uniform(0, 2))
        await self._target.dynamodb.start()
        return True

    async def kill_sandbox(self) -> bool:
        """Frozen first, so that its run is certainly on when it dies."""
        for session, run in self._victims():
            pid = self._target.sandboxes.pid(session)
            if run not in self._killed and pid and _signal_group(pid, signal.SIGSTOP):
                if self._target.sandboxes.is_mid_run(session, run):
                    self._killed.add(run)
                    return _signal_group(pid, signal.SIGKILL)
                _signal_group(pid, signal.SIGCONT)
        return False

    async def freeze_sandbox(self) -> bool:
        for session, _ in self._victims():
            pid = self._target.sandboxes.pid(session)
            if pid and _signal_group(pid, signal.SIGSTOP):
                try:
                    await asyncio.sleep(self._random.uniform(1, 4))
                finally:
                    _signal_group(pid, signal.SIGCONT)
                return True
        return False

    async def kill_agent(self) -> bool:
        for session, run in self._victims():
            for agent in self._target.sandboxes.agents(session):
                if self._target.sandboxes.is_mid_run(session, run):
                    with suppress(ProcessLookupError):
                        os.kill(agent, signal.SIGKILL)
                        return True
        return False

    async def fill_disk(self) -> bool:
        if not self._target.busy():
            return False
        try:
            await asyncio.to_thread(self._target.disk.fill)
            await asyncio.sleep(self._random.uniform(1, 4))
        finally:
            self._target.disk.free()
        return True

    def _victims(self) -> list[tuple[str, str]]:
        busy = list(self._target.busy())
        return self._random.sample(busy, len(busy))


def _signal_group(pid: int, number: int) -> bool:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return False
    return True
