"""Runs whose gateways are gone, and the sweepers of those that are left: how long until the last one has a recorder."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from gateway.runs.sweeper import BATCH
from tests.scale.models.engine import Clock

LOOK: Final = 0.02
TAKE: Final = 0.05
"""Seconds of a look at the index, and of 25 leases taken side by side by one gateway's threads."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """Seconds from the leases' end until the last run is taken; takes that were made, of which one for each run was
    not in vain."""

    seconds: float
    takes: int
    runs: int

    @property
    def wasted(self) -> float:
        """Share of takes that another gateway was quicker with."""
        return 1 - self.runs / self.takes if self.takes else 0.0


def simulate(*, runs: int, gateways: int, lease: float, seed: int) -> Takeover:
    """`gateway/runs/sweeper.py`: each gateway looks five times in a lease, at uneven moments, at the 25 runs that have
    waited longest, and at once again where it got 25. All leases have run out at 0; a look sees what was taken before
    it began."""
    chance, clock = random.Random(f"takeover {seed}"), Clock()
    taken = [False] * runs
    oldest = 0
    left, takes, last = runs, 0, 0.0

    def look() -> None:
        nonlocal oldest
        while oldest < runs and taken[oldest]:
            oldest += 1
        seen: list[int] = []
        at = oldest
        while at < runs and len(seen) < BATCH:
            if not taken[at]:
                seen.append(at)
            at += 1
        clock.after(LOOK + TAKE * chance.uniform(0.7, 1.3), lambda: take(seen))

    def take(seen: list[int]) -> None:
        nonlocal left, takes, last
        takes += len(seen)
        won = [number for number in seen if not taken[number]]
        for number in won:
            taken[number] = True
        left -= len(won)
        if won:
            last = clock.now
        if left:
            again = len(won) >= BATCH
            clock.after(0.0 if again else lease / 5 * chance.uniform(0.7, 1.3), look)

    for _ in range(gateways):
        clock.after(chance.uniform(0, lease / 5), look)
    clock.run()
    return Takeover(last, takes, runs)
