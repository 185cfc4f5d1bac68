"""Bodies too large for one item (400 KB is DynamoDB's limit): pieces first, then the item that names them.

A reader knows pieces only through the item that names them, so it never sees half; pieces that no item came to name are
garbage until their `expires_at`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from gateway.ids import new_id
from gateway.store.client import Table
from gateway.store.codec import Item
from gateway.store.keys import part
from gateway.store.queries import between
from gateway.store.sealing import Sealer, sealed

PIECE_BYTES: Final = 300_000
"""A body up to this size stays in its item; the rest of the 400 KB is for the other attributes."""


async def put_pieces(
    table: Table, sealer: Sealer, session: str, pieces: Sequence[Item], *, expires_at: int
) -> Item:
    """Write the pieces, each with a plain `body`, under a new name; `{part, parts}`: what the naming item must hold."""
    name = new_id()
    key = await sealer.key()
    items = [
        {"pk": pk, "sk": sk, "expires_at": expires_at, **sealed(key, (pk, sk), piece)}
        for number, piece in enumerate(pieces)
        for pk, sk in (part(session, name, number),)
    ]
    await table.write_many(puts=items)
    return {"part": name, "parts": len(items)}


async def drop_pieces(table: Table, session: str, named: Item) -> None:
    """Delete pieces that nothing names; does nothing when `named` names none."""
    numbers = range(named.get("parts", 0))
    await table.write_many(deletes=[part(session, named["part"], number) for number in numbers])


async def get_pieces(table: Table, sealer: Sealer, session: str, named: Item) -> AsyncIterator[Item]:
    """The pieces in order, with plain bodies."""
    first, last = part(session, named["part"], 0), part(session, named["part"], named["parts"] - 1)
    async for page in table.pages(between(first, last)):
        await sealer.ready(page)
        for item in page:
            yield sealer.opened(item)
