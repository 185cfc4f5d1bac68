"""Counters of rates: an item for somebody's longest window, one conditional update for each count.

The longest window is part of the key; a shorter one's count is an attribute named by the window's number within it, so
nothing is ever set back to 0 and the first count of a window is a write like all others. An item has at most 1,440
attributes of some 10 bytes (minutes of a day) and goes by its TTL.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from gateway.store import keys
from gateway.store.client import Table
from gateway.store.codec import Item
from gateway.store.quotas import HOUR, Limit, Rate, Reached
from gateway.store.requests import ConditionFailed, update

KEPT_SECONDS: Final = HOUR
"""How long a counter outlives its window: clocks differ, and what was counted may be given back."""


class Rates:
    """What the store does with rates."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def count(
        self, rate: Rate, amounts: Mapping[str, int], *, now: float, always: bool = False
    ) -> Reached | None:
        """See `Store.count`."""
        if not rate.limits:
            return None
        if not always and (large := _beyond(rate, amounts)):
            return Reached(large, large.ends(now) - now)
        added = {_attribute(rate, limit, now): amounts.get(limit.unit, 0) for limit in rate.limits}
        change, values = _adding(added)
        when: list[str] = []
        for number, limit in enumerate(rate.limits if not always else ()):
            name, amount = _attribute(rate, limit, now), amounts.get(limit.unit, 0)
            # What is not counted here must have room for one more.
            when.append(f"(attribute_not_exists(#{name}) OR #{name} <= :room{number})")
            values[f"room{number}"] = limit.most - max(1, amount)
        values["expires"] = math.ceil(_start(rate, now) + rate.seconds + KEPT_SECONDS)
        try:
            await self._table.write(
                update(_key(rate, now), f"SET #expires_at = :expires {change}", " AND ".join(when), **values)
            )
        except ConditionFailed as failed:
            return _reached(rate, amounts, failed.found[0] or {}, now)
        return None

    async def give_back(self, rate: Rate, amounts: Mapping[str, int], *, counted_at: float) -> None:
        """See `Store.give_back`."""
        if not rate.limits:
            return
        change, values = _adding(
            {_attribute(rate, limit, counted_at): -amounts.get(limit.unit, 0) for limit in rate.limits}
        )
        try:
            await self._table.write(update(_key(rate, counted_at), change, "attribute_exists(#pk)", **values))
        except ConditionFailed:
            return


def _key(rate: Rate, now: float) -> keys.Key:
    return keys.rate(rate.name, rate.who, int(now // rate.seconds))


def _start(rate: Rate, now: float) -> float:
    return now // rate.seconds * rate.seconds


def _attribute(rate: Rate, limit: Limit, now: float) -> str:
    """Where a limit's count is: short, as it counts towards the item's size."""
    if limit.seconds == rate.seconds:
        return limit.unit
    return f"{limit.unit}{int((now - _start(rate, now)) // limit.seconds)}"


def _adding(added: Mapping[str, int]) -> tuple[str, Item]:
    """The `ADD` clause and its values; a count of 0 is left out."""
    counted = {name: amount for name, amount in added.items() if amount}
    clause = ", ".join(f"#{name} :add{number}" for number, name in enumerate(counted))
    return f"ADD {clause}" if clause else "", {
        f"add{number}": amount for number, amount in enumerate(counted.values())
    }


def _beyond(rate: Rate, amounts: Mapping[str, int]) -> Limit | None:
    """A limit that the amount alone is past."""
    return next((limit for limit in rate.limits if amounts.get(limit.unit, 0) > limit.most), None)


def _reached(rate: Rate, amounts: Mapping[str, int], item: Item, now: float) -> Reached | None:
    """The limit that stands longest in the way."""
    full = [
        Reached(limit, limit.ends(now) - now)
        for limit in rate.limits
        if int(item.get(_attribute(rate, limit, now), 0)) + max(1, amounts.get(limit.unit, 0)) > limit.most
    ]
    return max(full, key=lambda reached: reached.seconds, default=None)
