"""The deadline of a stop: how long a run may go on after somebody has asked it to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

TICKS: Final = 20


class StopDeadline:
    """`wanted` is set when the run is to stop. Time counts only while this gateway runs (one that was paused has read
    nothing meanwhile) and `is_held_up()` is false."""

    def __init__(self, seconds: float, is_held_up: Callable[[], bool]) -> None:
        self.wanted = asyncio.Event()
        self.seconds = seconds
        self._is_held_up = is_held_up

    async def passed(self) -> None:
        """Return `seconds` after the stop was wanted."""
        await self.wanted.wait()
        clock, tick, left = asyncio.get_running_loop().time, self.seconds / TICKS, self.seconds
        while left > 0:
            begun = clock()
            await asyncio.sleep(tick)
            if not self._is_held_up():
                left -= min(clock() - begun, 2 * tick)
