"""What the model's API has been used for, counted by runs, sessions, users' days and the stack's: one item each.

SESSION#<id>          USAGE#<run>   a run's
SESSION#<id>          USAGE#        the session's, all of it
USAGE#user#<owner>    <day>         a user's day (UTC)
USAGE#stack           <day>         the stack's

Each item has two sums in nano-dollars. `cost` is what is known to be spent, of calls that are under way too. `held` is
what is counted for budgets: `cost`, and what calls that are under way may cost besides. A gateway that is killed leaves
the difference behind; `settle_held` takes it back once no call has touched the item for longer than any call lasts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from gateway.store import keys
from gateway.store.client import Table
from gateway.store.codec import Item
from gateway.store.keys import Key
from gateway.store.lifetime import DAY, Lifetime
from gateway.store.queries import by_prefix, expired
from gateway.store.requests import ConditionFailed, update

NANO: Final = 1_000_000_000
"""Nano-dollars in a US dollar: sums of whole ones are exact."""

KEPT_DAYS: Final = 40
"""How long a day's usage is kept."""

STALE_SECONDS: Final = 900.0
"""A call holds nothing for longer without a word: the API ends each within 10 minutes."""

COUNTS: Final = (
    "calls",
    "estimated",
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "searches",
)
"""What is counted beside money: calls, those of them whose end the API never told, and tokens."""


@dataclass(frozen=True, slots=True)
class Used:
    """One item: `counts` by the names of `COUNTS` (those that are not 0), nano-dollars spent, and spent or held."""

    cost: int = 0
    held: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)


class HeldBack(Exception):
    """Nothing was held: `used` has reached the most that there may be."""

    def __init__(self, used: Used) -> None:
        super().__init__("a budget has no room")
        self.used = used


class UsageRows:
    """What the store does with usage. Every method may raise `errors.StoreUnavailable`; an answer that was lost may be
    counted twice, never less than once."""

    def __init__(self, table: Table, lifetime: Lifetime) -> None:
        self._table = table
        self._lifetime = lifetime

    async def hold(self, key: Key, amount: int, *, most: int = 0) -> Used:
        """A call begins that may cost `amount`: hold it. Raises `HeldBack`, once `most` (0: no end) is held already."""
        when = "attribute_not_exists(#held) OR #held < :most" if most else ""
        values = {"most": most} if most else {}
        try:
            return await self._add(key, {"calls": 1}, cost=0, held=amount, when=when, values=values)
        except ConditionFailed as failed:
            raise HeldBack(_used(failed.found[0] or {})) from None

    async def add(
        self, key: Key, counts: Mapping[str, int], *, cost: int, held: int, anew: bool = False
    ) -> Used:
        """Add to `counts`, to the cost and to what is held; any of them may be below 0. Unless `anew`, an item that is
        gone stays so: its session was deleted."""
        try:
            return await self._add(
                key, counts, cost=cost, held=held, when="" if anew else "attribute_exists(#pk)"
            )
        except ConditionFailed:
            return Used()

    async def settle_held(self, key: Key) -> bool:
        """Take back what nobody holds any more; whether there was any."""
        item = await self._table.get(key) or {}
        used = _used(item)
        if used.held <= used.cost or float(item["held_at"]) > self._lifetime.now() - STALE_SECONDS:
            return False
        seen = {"held": used.held, "cost": used.cost, "at": item["held_at"]}
        try:
            await self._table.write(
                update(key, "SET #held = :cost", "#held = :held AND #cost = :cost AND #held_at = :at", **seen)
            )
        except ConditionFailed:
            return False
        return True

    async def first(self, key: Key, mark: str, unless: str = "") -> bool:
        """Set this mark of the item, and tell whether nobody has set it, nor that of `unless`, before."""
        absent = [f"attribute_not_exists(#{name})" for name in (mark, unless) if name]
        try:
            await self._table.write(
                update(
                    key,
                    f"SET #{mark} = :true, #expires_at = if_not_exists(#expires_at, :expires)",
                    " AND ".join(absent),
                    true=True,
                    expires=self._until(key),
                )
            )
        except ConditionFailed:
            return False
        return True

    async def get(self, key: Key) -> Used:
        """What an item says; nothing where there is none."""
        item = await self._table.get(key)
        return Used() if item is None or expired(item, self._lifetime.now()) else _used(item)

    async def get_many(self, wanted: Sequence[Key]) -> dict[Key, Used]:
        """Those of these items that are there."""
        found = await self._table.get_many(list(dict.fromkeys(wanted)))
        now = self._lifetime.now()
        return {key: _used(item) for key, item in found.items() if not expired(item, now)}

    async def runs(self, session: str, *, limit: int) -> dict[str, Used]:
        """The usage of the session's newest runs, newest first."""
        pk, prefix = keys.usage_of_session(session)
        items, _ = await self._table.page(by_prefix(pk, prefix, forward=False, limit=limit + 1))
        now = self._lifetime.now()
        named = ((item["sk"].removeprefix(prefix), item) for item in items if not expired(item, now))
        return dict([(run, _used(item)) for run, item in named if run][:limit])

    async def _add(
        self,
        key: Key,
        counts: Mapping[str, int],
        *,
        cost: int,
        held: int,
        when: str,
        values: Item | None = None,
    ) -> Used:
        added = {**{name: count for name, count in counts.items() if count}, "cost": cost, "held": held}
        clause = ", ".join(f"#{name} :{name}_more" for name in added)
        item = await self._table.write(
            update(
                key,
                f"SET #expires_at = :expires, #held_at = :now ADD {clause}",
                when,
                **{f"{name}_more": amount for name, amount in added.items()},
                **(values or {}),
                expires=self._until(key),
                now=self._lifetime.now(),
            )
        )
        return _used(item)

    def _until(self, key: Key) -> int:
        if keys.is_of_session(key):
            return self._lifetime.until_after_all()
        return math.ceil(self._lifetime.now() + KEPT_DAYS * DAY)


def day_of(now: float) -> str:
    """The day in UTC, such as `2026-11-30`."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")


def _used(item: Mapping[str, Any]) -> Used:
    counts = {name: int(item[name]) for name in COUNTS if item.get(name)}
    return Used(int(item.get("cost", 0)), int(item.get("held", 0)), counts)
