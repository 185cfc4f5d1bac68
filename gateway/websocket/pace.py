"""What one peer of a WebSocket may send in a second: some of it is made to wait, some of it ends the connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """A second's worth for one direction of a connection; `docs/limits.md` says what each is good for.

    More than `frames` small ones (fewer than 126 bytes) or than `size` bytes is read later; more `hollow` frames
    (control frames, empty ones) than that many at once, and a tenth of it a second, no peer sends that means well.
    """

    frames: float = 50_000
    size: float = 256 * 1024 * 1024
    hollow: float = 2000


class Bucket:
    """Tokens that come back at `rate` a second, `burst` of them at most. `clock`: the loop's, in seconds."""

    __slots__ = ("_at", "_burst", "_clock", "_left", "_rate")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = self._left = burst
        self._clock = clock
        self._at = clock()

    def take(self, count: float) -> float:
        """Take tokens, also those that are not there; seconds until they are, 0 when nothing is owed."""
        if count <= self._left:
            self._left -= count
            return 0.0
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate) - count
        self._at = now
        return max(0.0, -self._left / self._rate)
