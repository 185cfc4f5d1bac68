"""Counting a rate in the store without ever resting on it: a store that is slow or away refuses nobody."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.errors import RateLimited, StoreUnavailable, TooMany

if TYPE_CHECKING:
    from gateway.store import Store
    from gateway.store.quotas import Rate, Reached

log = logging.getLogger(__name__)
T = TypeVar("T")

SECONDS: Final = 1.0
"""How long a count may take; then it is left out."""

HINT_SECONDS: Final = 2.0
"""For so long a rate that was found full is refused here without asking the store again."""

HINTS: Final = 4096
"""Full rates that are remembered."""

QUIET_SECONDS: Final = 10.0
"""A store that is away is told of in the log this often."""


class Counter:
    """Counts in the store. What it remembers are hints: any number of counters, in any gateways, count the same."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._full: dict[tuple[str, str], tuple[float, Reached]] = {}
        self._told = -QUIET_SECONDS

    async def take(
        self, rate: Rate, amounts: Mapping[str, int], refusal: type[TooMany] = RateLimited
    ) -> float:
        """Count `amounts`; when that was, for `give_back`. Raises `refusal`."""
        now = self._clock()
        if not rate.limits:
            return now
        key = (rate.name, rate.who)
        until, reached = self._full.get(key, (0.0, None))
        if reached is None or now >= until:
            self._full.pop(key, None)
            reached = await self.openly(self._store.count(rate, amounts, now=now), None)
            if reached is None:
                return now
            while len(self._full) >= HINTS:
                del self._full[next(iter(self._full))]
            until = now + min(HINT_SECONDS, reached.seconds)
            self._full[key] = (until, reached)
            log.info("%s: %s", rate.name, reached.limit.rule)
        ends = reached.limit.ends(now)
        raise refusal(reached.at(ends - now).sentence(), retry_after=ends - now)

    async def add(self, rate: Rate, amounts: Mapping[str, int]) -> None:
        """Count what has happened already, whatever the limits."""
        if rate.limits:
            await self.openly(self._store.count(rate, amounts, now=self._clock(), always=True), None)

    async def give_back(self, rate: Rate, amounts: Mapping[str, int], counted_at: float) -> None:
        """Take back what `take` counted; a unit is lost where the store is away."""
        if rate.limits:
            await self.openly(self._store.give_back(rate, amounts, counted_at=counted_at), None)

    async def openly(self, asked: Awaitable[T], otherwise: T, seconds: float | None = None) -> T:
        """What the store answers within `seconds` (None: `SECONDS`), or `otherwise` when it is away or slow: what is
        counted here guards against floods, and the store guards its data itself."""
        seconds = SECONDS if seconds is None else seconds
        try:
            async with asyncio.timeout(seconds):
                return await asked
        except (StoreUnavailable, TimeoutError) as error:
            now = time.monotonic()
            if now - self._told >= QUIET_SECONDS:
                self._told = now
                why = (
                    error
                    if isinstance(error, StoreUnavailable)
                    else f"the store takes more than {seconds:g} s"
                )
                log.warning("quotas are not held: %s", why)
            return otherwise
