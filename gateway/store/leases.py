"""Runs and their leases: one update each, conditional on the fence.

A lease is `(generation, lease_owner)`. Taking it raises the generation, so what an earlier holder still sends fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.model import Page, Run
from gateway.store import keys
from gateway.store.client import Table
from gateway.store.codec import Item, encode, names_in
from gateway.store.lifetime import Lifetime
from gateway.store.queries import expired, listing
from gateway.store.requests import ConditionFailed, update
from gateway.store.runitems import FENCE, fence, from_item, not_found

INDEX = "open-runs"


class Leases:
    """What the store does with a run between its admission and its end, frames aside."""

    def __init__(self, table: Table, lifetime: Lifetime) -> None:
        self._table = table
        self._lifetime = lifetime

    async def item(self, session: str, run: str) -> Item:
        """RUN as it is. Raises `errors.RunNotFound`."""
        item = await self._table.get(keys.run(session, run))
        if item is None or expired(item, self._lifetime.now()):
            raise not_found(run)
        return item

    async def get(self, session: str, run: str) -> Run:
        """See `Store.get_run`."""
        return from_item(await self.item(session, run))

    async def page(self, session: str, *, limit: int, cursor: str | None) -> Page[Run]:
        """See `Store.list_runs`."""
        pk, now = keys.session(session), self._lifetime.now()
        items, following = await listing(
            self._table, pk, keys.RUN, limit=limit, cursor=cursor, forward=False, now=now
        )
        return Page(tuple(from_item(item) for item in items), following)

    async def take(self, run: Run, *, gateway: str, lease_seconds: float, now: float, op: str) -> Run | None:
        """See `Store.take_lease`. `op` names this call: its own second attempt finds the lease taken by itself."""
        values = fence(run)
        change = "SET #generation = :next, #lease_owner = :gateway, #lease_until = :until, #op = :op"
        try:
            item = await self._table.write(
                update(
                    keys.run(run.session, run.id),
                    change,
                    "#generation = :generation AND #state IN (:pending, :running)"
                    " AND (#lease_until < :now OR #lease_owner = :gateway)",
                    generation=run.generation,
                    pending=values["pending"],
                    running=values["running"],
                    next=run.generation + 1,
                    gateway=gateway,
                    until=now + lease_seconds,
                    now=now,
                    op=op,
                )
            )
        except ConditionFailed as failed:
            item = failed.found[0] or {}
            return from_item(item) if item.get("op") == op else None
        return from_item(item)

    async def renew(self, run: Run, *, lease_seconds: float, now: float) -> Run | None:
        """See `Store.renew_lease`."""
        return await self._fenced(run, "SET #lease_until = :until", until=now + lease_seconds)

    async def release(self, run: Run) -> None:
        """See `Store.release_lease`."""
        change = "SET #lease_until = :zero, #lease_owner = :nobody, #takeovers = :zero"
        await self._fenced(run, change, zero=0, nobody="")

    async def mark_running(self, run: Run) -> Run | None:
        """See `Store.mark_running`."""
        return await self._fenced(run, "SET #state = :running")

    async def set_takeovers(self, run: Run, count: int) -> Run | None:
        """See `Store.set_takeovers`."""
        return await self._fenced(run, "SET #takeovers = :count", count=count)

    async def _fenced(self, run: Run, change: str, **values: object) -> Run | None:
        try:
            item = await self._table.write(
                update(keys.run(run.session, run.id), change, FENCE, **fence(run), **values)
            )
        except ConditionFailed:
            return None
        return from_item(item)

    async def expired(self, *, now: float, limit: int) -> Sequence[Run]:
        """See `Store.expired_runs`. `recorded`, `takeovers`, `stop_requested` and `reason` are not in the index
        and read as if new: each append would pay for them there."""
        shards = await asyncio.gather(*(self._expired(shard, now, limit) for shard in keys.shards()))
        runs = sorted((run for runs in shards for run in runs), key=lambda run: run.lease_until)
        return runs[:limit]

    async def _expired(self, shard: str, now: float, limit: int) -> list[Run]:
        condition = "#open = :open AND #lease_until < :now"
        items, _ = await self._table.page(
            {
                "IndexName": INDEX,
                "KeyConditionExpression": condition,
                "ExpressionAttributeNames": names_in(condition),
                "ExpressionAttributeValues": encode({":open": shard, ":now": now}),
                "Limit": limit,
            }
        )
        return [from_item(item) for item in items]
