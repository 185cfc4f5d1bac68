"""Sessions that come, ask, think, leave and are reaped; what the index of open runs and the starts get of it."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from tests.scale.models.engine import Clock
from tests.scale.models.units import Cost, costs
from tests.scale.plan import Plan

WINDOW: Final = 300.0
WARM_UP: Final = 120.0
"""Seconds in which the runs that were on at the beginning get the lengths that they should have."""


@dataclass(frozen=True, slots=True)
class Series:
    """A figure of each second: its mean and its worst second."""

    mean: float
    peak: float

    @classmethod
    def of(cls, counts: Counter[int], seconds: range) -> Series:
        """Of counts by second; a second that is not there counted nothing."""
        values = [counts[second] for second in seconds]
        return cls(fmean(values), max(values))

    @property
    def burst(self) -> float:
        """The worst second, in means."""
        return self.peak / self.mean if self.mean else 1.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the window showed; `shard`: units of the index in the busiest of its partitions."""

    runs: Series
    prompts: Series
    starts: Series
    shard: Series


def simulate(plan: Plan, seed: int) -> Traffic:
    """Five minutes of a stack in its steady state. Lengths are exponential but for the idle limit."""
    return _Traffic(plan, random.Random(f"traffic {seed}")).result()


class _Traffic:
    def __init__(self, plan: Plan, chance: random.Random) -> None:
        self._plan = plan
        self._chance = chance
        self._clock = Clock()
        self._prices: Mapping[str, Cost] = costs(plan)
        self._starts: Counter[int] = Counter()
        self._prompts: Counter[int] = Counter()
        self._began: Counter[int] = Counter()
        self._ended: Counter[int] = Counter()
        self._shards: list[Counter[int]] = [Counter() for _ in range(plan.shards)]

    def result(self) -> Traffic:
        """Begin as in the steady state, run, and look at the window."""
        plan, draw = self._plan, self._chance.random
        active = round(plan.sessions * plan.active / plan.life)
        for _ in range(
            active
        ):  # exponential lengths have no memory: what is left of one is as long as a new one
            leaves = self._length(plan.active)
            if draw() < plan.run / (plan.run + plan.think):
                self._ask(leaves, counted=False)
            else:
                self._think(leaves)
        self._arrive()
        self._clock.run(WARM_UP + WINDOW)
        seconds = range(round(WARM_UP), round(WARM_UP + WINDOW))
        on, runs = 0, Counter[int]()
        for second in range(seconds.stop):
            on += self._began[second] - self._ended[second]
            runs[second] = on
        shards = [Series.of(counts, seconds) for counts in self._shards]
        return Traffic(
            Series.of(runs, seconds),
            Series.of(self._prompts, seconds),
            Series.of(self._starts, seconds),
            max(shards, key=lambda series: series.peak),
        )

    def _length(self, mean: float) -> float:
        return self._chance.expovariate(1 / mean)

    def _arrive(self) -> None:
        def arrived() -> None:
            self._starts[int(self._clock.now)] += 1
            self._ask(self._clock.now + self._length(self._plan.active))
            self._arrive()

        self._clock.after(self._length(1 / self._plan.starts), arrived)

    def _think(self, leaves: float) -> None:
        pause = self._length(self._plan.think)
        if self._clock.now + pause < leaves:
            self._clock.after(pause, lambda: self._ask(leaves))

    def _ask(self, leaves: float, *, counted: bool = True) -> None:
        """A prompt, its run, and what that writes to its shard of the index."""
        plan, now, prices = self._plan, self._clock.now, self._prices
        length = self._length(plan.run)
        shard = self._shards[zlib.crc32(b"%026x" % self._chance.getrandbits(100)) % plan.shards]  # keys.shard
        self._began[int(now)] += 1
        self._ended[int(now + length)] += 1
        if counted:
            self._prompts[int(now)] += 1
            shard[int(now)] += round(prices["admission"].index + prices["start"].index)
        shard[int(now + length)] += round(prices["end"].index)
        every = plan.lease / 3
        # What was on at the beginning was renewed at some moment before it.
        at = now + (every if counted else every * self._chance.random())
        while at < now + length:
            shard[int(at)] += round(prices["renewal"].index)
            at += every
        self._clock.after(length, lambda: self._think(leaves) if self._clock.now < leaves else None)
