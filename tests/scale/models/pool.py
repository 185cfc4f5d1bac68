"""A warm pool against the sessions that come: how often it is empty, and what a limit of starts does to it.

A claim takes a sandbox and orders its successor; one that finds the pool empty starts a sandbox of its own.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Final

from tests.scale.models.engine import Clock

RUN_TASK_BURST: Final = 100
RUN_TASK_RATE: Final = 20.0
"""Fargate's task launches of an account in a Region: a bucket of 100, filled with 20 a second (AWS Fargate throttling
quotas, Amazon ECS Developer Guide); adjustable."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of `claims`, how many found the pool empty; seconds that starts waited for the quota, the longest of them."""

    claims: int
    empty: int
    quota_wait: float

    @property
    def share(self) -> float:
        """Of claims that found it empty."""
        return self.empty / self.claims if self.claims else 0.0


class Bucket:
    """A token bucket in simulated time; `take` says when the next start may be made, in order."""

    def __init__(self, burst: float, rate: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens, self._at = burst, 0.0

    def take(self, now: float) -> float:
        """The time from which this one may go: now, or when its token is there."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= 1
        return now if self._tokens >= 0 else now - self._tokens / self._rate


def simulate(
    *,
    rate: float,
    size: int,
    start: float,
    seconds: float,
    seed: int,
    bucket: Bucket | None = None,
    spread: float = 0.25,
) -> Outcome:
    """Claims come at random, `rate` a second. A start takes `start` seconds, give or take the share `spread`. The first
    starts' time is not counted."""
    chance, clock = random.Random(f"pool {seed}"), Clock()
    warm: deque[float] = deque([0.0] * size)
    claims = empty = 0
    longest = 0.0

    def claim() -> None:
        nonlocal claims, empty, longest
        counted = clock.now >= 3 * start
        claims += counted
        allowed = bucket.take(clock.now) if bucket else clock.now
        longest = max(longest, allowed - clock.now)
        if warm:
            warm.popleft()
            ready = allowed - clock.now + start * chance.uniform(1 - spread, 1 + spread)
            clock.after(ready, lambda: warm.append(clock.now))
        else:
            empty += counted
        clock.after(chance.expovariate(rate), claim)

    clock.after(chance.expovariate(rate), claim)
    clock.run(seconds + 3 * start)
    return Outcome(claims, empty, longest)
