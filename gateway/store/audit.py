"""The audit's blocks, and the head that says which is the newest: one transaction a block, so there is one chain."""

from __future__ import annotations

import json
from collections.abc import Sequence

from gateway.audit.chain import Block, Head, canonical
from gateway.store import keys
from gateway.store.client import Table
from gateway.store.codec import Item, pack, unpack
from gateway.store.queries import listing
from gateway.store.requests import ConditionFailed, put, update


class AuditRows:
    """See `Store.audit`."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def head(self) -> Head:
        """The newest block's."""
        item = await self._table.get(keys.AUDIT_HEAD)
        return Head() if item is None else Head(str(item["day"]), int(item["number"]), str(item["hash"]))

    async def append(self, block: Block, *, expires_at: int) -> bool:
        """Add the block behind the one that it follows; False, and nothing is changed, where another was first. Again,
        with the same block, is success."""
        pk, sk = keys.audit(block.day, block.number)
        item = {
            "pk": pk,
            "sk": sk,
            "gateway": block.gateway,
            "at": block.at,
            "previous": block.previous,
            "hash": block.hash,
            "seal": block.seal,
            "expires_at": expires_at,
            **pack(canonical(list(block.events)).encode()),
        }
        follows = "#hash = :previous" if block.previous != Head().hash else "attribute_not_exists(#pk)"
        values = {"previous": block.previous} if block.previous != Head().hash else {}
        change = "SET #day = :day, #number = :number, #hash = :hash"
        try:
            await self._table.transact(
                [
                    put(item, "attribute_not_exists(#pk)"),
                    update(
                        keys.AUDIT_HEAD,
                        change,
                        follows,
                        day=block.day,
                        number=block.number,
                        hash=block.hash,
                        **values,
                    ),
                ]
            )
        except ConditionFailed:
            found = await self._table.get((pk, sk))
            return found is not None and found["hash"] == block.hash
        return True

    async def page(
        self, day: str, *, limit: int, cursor: str | None, now: float
    ) -> tuple[Sequence[Block], str | None]:
        """Blocks of a day in their order, and the cursor of the next page."""
        items, following = await listing(
            self._table, keys.audit_day(day), keys.BLOCK, limit=limit, cursor=cursor, forward=True, now=now
        )
        return [_block(day, item) for item in items], following


def _block(day: str, item: Item) -> Block:
    return Block(
        day=day,
        number=int(str(item["sk"]).rpartition("#")[2]),
        gateway=str(item["gateway"]),
        at=str(item["at"]),
        previous=str(item["previous"]),
        events=tuple(json.loads(unpack(item))),
        hash=str(item["hash"]),
        seal=str(item["seal"]),
    )
