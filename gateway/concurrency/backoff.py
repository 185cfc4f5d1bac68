"""Delays between attempts: exponential, capped, with full jitter."""

from __future__ import annotations

import random


class Backoff:
    """`next()` gives the seconds to wait before the next attempt; `reset()` after a success."""

    def __init__(self, first: float = 0.05, most: float = 2.0) -> None:
        self._first = first
        self._most = most
        self._attempt = 0

    def next(self) -> float:
        """Between half of and the whole of `first * 2**attempt`, at most `most`."""
        ceiling = min(self._most, self._first * float(2**self._attempt))
        self._attempt = min(self._attempt + 1, 16)
        return ceiling * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start again from `first`."""
        self._attempt = 0
