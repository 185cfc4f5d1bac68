"""The store's usage rows in memory: the same conditions, no table."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from gateway.errors import StoreUnavailable
from gateway.store.keys import Key
from gateway.store.usage import HeldBack, Used


class Rows:
    """`away`: while it is set, nothing is answered. `slow`: seconds that each answer takes."""

    def __init__(self) -> None:
        self.items: dict[Key, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.marks: set[tuple[Key, str]] = set()
        self.away = False
        self.slow = 0.0
        self.stale: set[Key] = set()

    @property
    def store(self) -> Any:
        return SimpleNamespace(usage=self)

    def used(self, key: Key) -> Used:
        item = dict(self.items[key])
        cost, held = item.pop("cost", 0), item.pop("held", 0)
        return Used(cost, held, {name: count for name, count in item.items() if count})

    async def _reach(self) -> None:
        if self.slow:
            await asyncio.sleep(self.slow)
        if self.away:
            raise StoreUnavailable("away")

    async def hold(self, key: Key, amount: int, *, most: int = 0) -> Used:
        await self._reach()
        if most and self.items[key]["held"] >= most:
            raise HeldBack(self.used(key))
        return await self._add(key, {"calls": 1}, 0, amount)

    async def add(
        self, key: Key, counts: Mapping[str, int], *, cost: int, held: int, anew: bool = False
    ) -> Used:
        await self._reach()
        return await self._add(key, counts, cost, held)

    async def _add(self, key: Key, counts: Mapping[str, int], cost: int, held: int) -> Used:
        for name, amount in {**counts, "cost": cost, "held": held}.items():
            self.items[key][name] += amount
        return self.used(key)

    async def settle_held(self, key: Key) -> bool:
        await self._reach()
        if key not in self.stale:
            return False
        self.items[key]["held"] = self.items[key]["cost"]
        return True

    async def first(self, key: Key, mark: str, unless: str = "") -> bool:
        await self._reach()
        if (key, mark) in self.marks or (key, unless) in self.marks:
            return False
        self.marks.add((key, mark))
        return True


async def eventually(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait until `condition`, which may be a coroutine function, holds."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.02)
