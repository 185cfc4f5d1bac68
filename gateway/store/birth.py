"""The table's birth: the mark that the first gateway sets, and since when what no gateway of a version before knows is
done in it."""

from __future__ import annotations

import logging
import time

from gateway.config import Settings
from gateway.store import keys
from gateway.store.client import Table
from gateway.store.codec import Item
from gateway.store.pool import SETTLE_SECONDS
from gateway.store.requests import ConditionFailed, put, update

log = logging.getLogger(__name__)


class Birth:
    """In a new table everything is done from the beginning. In one of an earlier version, whose gateways serve for a
    while beside their successors, the first gateway that does a thing sets its time behind that. Every method may raise
    `errors.StoreUnavailable`."""

    def __init__(self, table: Table, settings: Settings) -> None:
        self._table = table
        self._pools = settings.pool.largest > 0
        self._encrypts = settings.encrypt
        self._encrypts_since: float | None = None
        # A gateway that is protected while it records runs goes on serving beside its successors for so long.
        self._settle = SETTLE_SECONDS + (settings.protect_minutes * 60 if settings.driver == "ecs" else 0)

    async def at(self) -> float:
        """When the table was born, in epoch seconds; the first gateway that opens it sets the mark."""
        found = await self._mark()
        if not found:
            pk, sk = keys.BIRTH
            mark = {"pk": pk, "sk": sk, "born_at": time.time(), "starts_named_since": 0.0}
            if self._pools:
                mark["pooled_since"] = 0.0  # no gateway without a pool has ever opened it
            if self._encrypts:
                mark["encrypted_since"] = 0.0  # nor one that cannot read what is encrypted
            try:
                await self._table.write(put(mark, "attribute_not_exists(#pk)"))
            except ConditionFailed:
                log.info("another gateway opened the new table first")
            found = await self._mark()
        return float(found.get("born_at", time.time()))

    async def starts_named_since(self) -> float:
        """See `Store.starts_named_since`."""
        found = await self._mark()
        if "starts_named_since" not in found:
            found = await self._begin("starts_named_since")
        return float(found["starts_named_since"])

    async def pooled_since(self) -> float | None:
        """See `PoolRows.since`."""
        found = await self._mark()
        if self._pools and "pooled_since" not in found:
            found = await self._begin("pooled_since")
        return float(found["pooled_since"]) if "pooled_since" in found else None

    async def sealed_since(self) -> float | None:
        """From when on bodies are encrypted; None where they are not."""
        if self._encrypts and self._encrypts_since is None:
            await self.at()
            self._encrypts_since = float((await self._begin("encrypted_since"))["encrypted_since"])
        return self._encrypts_since

    async def _mark(self) -> Item:
        return await self._table.get(keys.BIRTH) or {}

    async def _begin(self, name: str) -> Item:
        """The mark with that time in it, unless another gateway has set it before."""
        since = time.time() + self._settle
        change = f"SET #{name} = if_not_exists(#{name}, :since)"
        return await self._table.write(update(keys.BIRTH, change, "attribute_exists(#pk)", since=since))
