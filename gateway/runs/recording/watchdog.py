"""What a recorder bears of a sandbox: how long none that does not answer, and how many faults and fruitless breaks."""

from __future__ import annotations

import time
from typing import Final

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
