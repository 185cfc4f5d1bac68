"""Resident memory of services and of all that they started, read from /proc, while an attack runs and afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

SAMPLE_SECONDS = 0.5


def resident_mib(pid: int) -> float:
    """Of a process and its descendants; 0 for one that is gone."""
    total = 0.0
    with suppress(OSError):
        proc = Path(f"/proc/{pid}")
        for line in (proc / "status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total = int(line.split()[1]) / 1024
        for child in (proc / "task" / str(pid) / "children").read_text().split():
            total += resident_mib(int(child))
    return total


class Memory:
    """`before` and `peak` in MiB by service; `after` once it is asked for."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self.before = self._now()
        self.peak = dict(self.before)

    @asynccontextmanager
    async def sampled(self) -> AsyncIterator[None]:
        """The highest values within this block go to `peak`."""
        task = asyncio.create_task(self._sample(), name="memory")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def settled(self, growth_mib: float, seconds: float) -> Mapping[str, float]:
        """MiB more than before, by service, as soon as none has grown by more than `growth_mib`, or after `seconds`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            grown = {name: value - self.before[name] for name, value in self._now().items()}
            if max(grown.values(), default=0.0) <= growth_mib or loop.time() > deadline:
                return grown
            await asyncio.sleep(SAMPLE_SECONDS)

    def _now(self) -> dict[str, float]:
        return {name: resident_mib(pid) for name, pid in self._pids.items()}

    async def _sample(self) -> None:
        while True:
            for name, value in self._now().items():
                self.peak[name] = max(self.peak[name], value)
            await asyncio.sleep(SAMPLE_SECONDS)
