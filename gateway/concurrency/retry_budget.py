"""How long something that does not answer is borne before it is restarted, and then given up."""

from __future__ import annotations

import time


class Patience:
    """How long a sandbox that does not answer is borne: twice `seconds`, with a restart between."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._over = 0
        self.renew()

    def renew(self) -> None:
        """It answered."""
        self._over = 0
        self._until = time.monotonic() + self._seconds

    def is_over(self) -> bool:
        """Whether the time is up; it starts again when it is."""
        if time.monotonic() <= self._until:
            return False
        self._until = time.monotonic() + self._seconds
        self._over += 1
        return True

    def is_spent(self) -> bool:
        """Whether it was up for the second time."""
        return self._over > 1
