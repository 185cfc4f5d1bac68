"""Places of sandboxes that are being started: one item, changed by its version, so that no two take the last one.

The driver's own list is the truth about sandboxes that run. What it cannot know is who else is about to start one; only
that is kept here, each entry until its sandbox must be in the list or has failed. So nothing drifts: a gateway that
dies leaves entries that run out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.store import keys
from gateway.store.client import RetryBudget, Table
from gateway.store.quotas import Claim, Crowd
from gateway.store.requests import ConditionFailed, update

_Entries = dict[str, dict[str, Any]]
"""Session → `{owner, until}`."""


class Places:
    """What the store does with places."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def claim(self, claim: Claim, *, now: float) -> Crowd | None:
        """See `Store.claim_place`."""
        budget = RetryBudget(self._table.seconds)
        while True:
            entries, version = await self._read()
            held = {session: entry for session, entry in entries.items() if float(entry["until"]) > now}
            others = {session: str(entry["owner"]) for session, entry in held.items()} | dict(claim.running)
            others.pop(claim.session, None)
            if crowd := _crowd(claim, others):
                return crowd
            held[claim.session] = {"owner": claim.owner, "until": claim.until}
            if await self._write(held, version):
                return None
            await budget.wait("many sandboxes are started at once")

    async def release(self, session: str) -> None:
        """See `Store.release_place`."""
        budget = RetryBudget(self._table.seconds)
        while True:
            entries, version = await self._read()
            if entries.pop(session, None) is None or await self._write(entries, version):
                return
            await budget.wait("many sandboxes are started at once")

    async def _read(self) -> tuple[_Entries, int]:
        item = await self._table.get(keys.STARTING)
        return (dict(item["starting"]), int(item["version"])) if item else ({}, 0)

    async def _write(self, entries: Mapping[str, Any], version: int) -> bool:
        """Whether the item was as it was read. A lost answer reads as False: the next look finds what was written."""
        try:
            await self._table.write(
                update(
                    keys.STARTING,
                    "SET #starting = :starting, #version = :next",
                    "#version = :version" if version else "attribute_not_exists(#pk)",
                    starting=dict(entries),
                    next=version + 1,
                    **({"version": version} if version else {}),
                )
            )
        except ConditionFailed:
            return False
        return True


def _crowd(claim: Claim, others: Mapping[str, str]) -> Crowd | None:
    if claim.most_of_user and sum(owner == claim.owner for owner in others.values()) >= claim.most_of_user:
        return Crowd.USER
    if claim.most and len(others) >= claim.most:
        return Crowd.ALL
    return None
