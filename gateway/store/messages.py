"""Messages: MSG items in order of creation, each found by id through its IDEM item, large bodies in pieces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from container.protocol import encode
from gateway.model import Message, Page
from gateway.store import keys
from gateway.store.bodies import PIECE_BYTES, drop_pieces, get_pieces, put_pieces
from gateway.store.client import Table
from gateway.store.codec import Item, pack, unpack
from gateway.store.lifetime import Lifetime
from gateway.store.queries import expired, steps
from gateway.store.requests import ConditionFailed, Write, put, update
from gateway.store.sealing import Sealer, sealed
from gateway.store.sessions import OPEN_SESSION, gone, not_found

SHORT_CHARS: Final = 32 * 1024
"""What is longer is packed in a thread."""

PAGE_BYTES: Final = 2 * 1024 * 1024
"""A page of messages ends with the one that brings it to this many bytes, unpacked."""


class Messages:
    """What the store does with messages."""

    def __init__(self, table: Table, lifetime: Lifetime, sealer: Sealer) -> None:
        self._table = table
        self._sealer = sealer
        self._lifetime = lifetime

    async def stage(self, message: Message, *, op: str) -> tuple[list[Write], Item]:
        """The two writes that put a message, IDEM first (its condition: the id is new), and what `drop` needs when
        they are not made. A body over 300 KB is written already, unseen."""
        short = len(message.content) <= SHORT_CHARS and not message.parts
        packed = _pack(message) if short else await self._table.offload(_pack, message)
        named: Item = {}
        if len(packed["body"]) > PIECE_BYTES:
            body: bytes = packed.pop("body")
            pieces = [{"body": body[at : at + PIECE_BYTES]} for at in range(0, len(body), PIECE_BYTES)]
            expires_at = self._lifetime.until_after_all()
            named = await put_pieces(
                self._table, self._sealer, message.session, pieces, expires_at=expires_at
            )
        pk, sk = keys.message(message.session, message.id, message.created_at)
        if "body" in packed:
            packed = sealed(await self._sealer.key(), (pk, sk), packed)
        expires_at = self._lifetime.until()
        item = {
            "pk": pk,
            "sk": sk,
            "id": message.id,
            "role": message.role,
            "created_at": message.created_at,
            "run": message.run,
            "expires_at": expires_at,
            **packed,
            **named,
        }
        idem_pk, idem_sk = keys.idem(message.session, message.id)
        idem = {
            "pk": idem_pk,
            "sk": idem_sk,
            "msg": sk,
            "run": message.run,
            "op": op,
            "expires_at": expires_at,
        }
        fresh = "attribute_not_exists(#pk) OR #expires_at <= :now"
        return [put(idem, fresh, now=self._lifetime.now()), put(item)], named

    async def drop(self, session: str, named: Item) -> None:
        """Delete what `stage` wrote ahead for a message that is not put after all."""
        await drop_pieces(self._table, session, named)

    async def put(self, message: Message, *, op: str) -> bool:
        """See `Store.put_message`. `op` names this call."""
        writes, named = await self.stage(message, op=op)
        alive = update(
            keys.meta(message.session),
            "SET #updated_at = :now, #expires_at = :until",
            OPEN_SESSION,
            now=self._lifetime.now(),
            until=self._lifetime.until(),
            false=False,
        )
        try:
            await self._table.transact([*writes, alive])
        except ConditionFailed as failed:
            known, _, meta = failed.found
            if known and known["op"] == op:
                return True
            await self.drop(message.session, named)
            if meta is not None:
                raise gone(message.session) if meta else not_found(message.session) from None
            return False
        return True

    async def get(self, session: str, message: str) -> Message | None:
        """See `Store.get_message`."""
        now = self._lifetime.now()
        idem = await self._table.get(keys.idem(session, message))
        if idem is None or expired(idem, now):
            return None
        item = await self._table.get((idem["pk"], idem["msg"]))
        if item is None or expired(item, now):
            return None
        return (await self._join(session, [item], PAGE_BYTES))[0][0]

    async def page(self, session: str, *, limit: int, cursor: str | None, newest: bool) -> Page[Message]:
        """See `Store.list_messages`."""
        pk, now = keys.session(session), self._lifetime.now()
        found: list[Message] = []
        following: str | None = None
        room = PAGE_BYTES
        async for items, behind in steps(
            self._table, pk, keys.MESSAGE, limit=limit, cursor=cursor, forward=not newest, now=now
        ):
            joined, size = await self._join(session, items, room)
            found += joined
            following = behind
            room -= size
            if len(joined) < len(items):
                return Page(tuple(found), keys.to_cursor(items[len(joined) - 1]["sk"]))
            if room <= 0:
                break
        return Page(tuple(found), following)

    async def _join(self, session: str, items: Sequence[Item], room: int) -> tuple[list[Message], int]:
        """The messages of MSG items up to the one that takes the last of `room` bytes, and how many bytes they take;
        opened and unpacked in one go in a thread."""
        whole: list[Item] = []
        packed = 0
        await self._sealer.ready(items)
        for item in items:
            whole.append(await self._whole(session, item))
            packed += len(whole[-1]["body"])
            if packed >= room:
                break
        return await self._table.offload(self._unpack_some, session, whole, room)

    async def _whole(self, session: str, item: Item) -> Item:
        if "part" not in item:
            return item
        pieces = [piece["body"] async for piece in get_pieces(self._table, self._sealer, session, item)]
        return {**item, "body": b"".join(pieces)}

    def _unpack_some(self, session: str, items: Sequence[Item], room: int) -> tuple[list[Message], int]:
        messages: list[Message] = []
        size = 0
        for item in items:
            body = unpack(item if "part" in item else self._sealer.opened(item))
            messages.append(_message(session, item, body))
            size += len(body)
            if size >= room:
                break
        return messages, size


def _pack(message: Message) -> Item:
    return pack(encode({"content": message.content, "parts": message.parts, "meta": message.meta}))


def _message(session: str, item: Item, packed: bytes) -> Message:
    body: dict[str, Any] = json.loads(packed)
    parts: Sequence[dict[str, Any]] = body["parts"]
    return Message(
        id=item["id"],
        session=session,
        role=item["role"],
        content=body["content"],
        created_at=float(item["created_at"]),
        run=item["run"],
        parts=tuple(parts),
        meta=body["meta"],
    )
