"""The clock of a discrete-event simulation: what is to happen, in the order of its times."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

Action = Callable[[], None]


class Clock:
    """`now` in seconds. Of two actions at one time the one that was asked for first comes first, so a run of the same
    seed is the same in everything."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Action]] = []
        self._number = count()

    def after(self, seconds: float, action: Action) -> None:
        """Do it in so many seconds. Raises `ValueError` for the past."""
        if seconds < 0:
            raise ValueError(f"{seconds} s from now is past")
        heapq.heappush(self._due, (self.now + seconds, next(self._number), action))

    def run(self, until: float = float("inf")) -> None:
        """Do all that is due before `until`, or all there is; `now` is the time of the last one then, or `until`."""
        while self._due and self._due[0][0] < until:
            self.now, _, action = heapq.heappop(self._due)
            action()
        if until != float("inf"):
            self.now = until
