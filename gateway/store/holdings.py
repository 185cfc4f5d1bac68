"""What users have, counted from their sessions' own items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.store import keys
from gateway.store.client import Table
from gateway.store.quotas import Held
from gateway.store.requests import ConditionFailed, update
from gateway.store.sessions import Sessions

PAGE: Final = 100
"""Sessions in one read: a query for their entries and a batch for their METAs (a read unit each)."""


class Holdings:
    """What the store knows of who has what."""

    def __init__(self, table: Table, sessions: Sessions) -> None:
        self._table = table
        self._sessions = sessions

    async def of(self, owner: str, *, most: int, stored: int) -> Held:
        """See `Store.held_by`."""
        found: dict[str, int] = {}
        cursor: str | None = None
        while True:
            # From the oldest on: one that is used meanwhile moves ahead of the reader, and is not missed.
            metas, cursor = await self._sessions.metas(owner, limit=PAGE, cursor=cursor, forward=True)
            found |= {str(meta["id"]): int(meta.get("stored", 0)) for meta in metas}
            count, size = len(found), sum(found.values())
            if cursor is None or 0 < most <= count or 0 < stored <= size:
                return Held(count, size, whole=cursor is None)

    async def set_stored(self, session: str, size: int) -> None:
        """See `Store.set_stored`."""
        try:
            await self._table.write(
                update(keys.meta(session), "SET #stored = :size", "attribute_exists(#pk)", size=size)
            )
        except ConditionFailed:
            return

    async def owners(self, sessions: Sequence[str]) -> dict[str, str]:
        """See `Store.owners`."""
        metas = await self._table.get_many([keys.meta(session) for session in dict.fromkeys(sessions)])
        return {str(meta["id"]): str(meta["owner"]) for meta in metas.values()}
