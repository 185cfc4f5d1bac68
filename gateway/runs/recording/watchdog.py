"""A watchdog: how long a sandbox that does not answer is waited for before it is restarted, and then given up."""

from __future__ import annotations

import time


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
