"""What a recorder bears of a sandbox: how long one that does not answer or stop, how many faults."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

STOP_TICKS: Final = 20
"""Parts of a stop's time in which it is looked whether they count."""

MOST_FAULTS: Final = 3
"""Times that a sandbox breaks the protocol: then it is given up. An agent server never does."""

MOST_FRUITLESS: Final = 20
"""Connections in a row that lasted, brought no frame and broke: then the sandbox is given up."""


class Watchdog:
    """Expires twice, `seconds` apart: at the first time the sandbox is restarted, at the second it is given up."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._times = 0
        self.reset()

    def reset(self) -> None:
        """It answered."""
        self._times = 0
        self._until = time.monotonic() + self._seconds

    def expired(self) -> bool:
        """Whether the time is up; it starts again when it is."""
        if time.monotonic() <= self._until:
            return False
        self._until = time.monotonic() + self._seconds
        self._times += 1
        return True

    def expired_twice(self) -> bool:
        """Whether it was up for the second time."""
        return self._times > 1


class Trust:
    """Counts what a sandbox did that an agent server never does, or seldom; each method says whether it is too much."""

    def __init__(self) -> None:
        self._faults = 0
        self._fruitless = 0

    def frame_came(self) -> None:
        """A connection brought a new frame."""
        self._fruitless = 0

    def broke_protocol(self) -> bool:
        """It sent what it may not send."""
        self._faults += 1
        return self._faults >= MOST_FAULTS

    def broke_off(self) -> bool:
        """A connection lasted, brought nothing and broke."""
        self._fruitless += 1
        return self._fruitless >= MOST_FRUITLESS


class StopDeadline:
    """How long a run may go on after somebody has asked it to stop: then `wanted` is set. Time counts only while this
    gateway runs (one that was paused has read nothing meanwhile) and `is_held_up()` is false."""

    def __init__(self, seconds: float, is_held_up: Callable[[], bool]) -> None:
        self.wanted = asyncio.Event()
        self.seconds = seconds
        self._is_held_up = is_held_up

    async def passed(self) -> None:
        """Return `seconds` after the stop was wanted."""
        await self.wanted.wait()
        clock, tick, left = asyncio.get_running_loop().time, self.seconds / STOP_TICKS, self.seconds
        while left > 0:
            begun = clock()
            await asyncio.sleep(tick)
            if not self._is_held_up():
                left -= min(clock() - begun, 2 * tick)
