"""Recorded frames: LOG items, each a group of whole frames, written in the transaction that moves `recorded`.

What an append costs (write units; a transaction pays double): RUN (under 1 KB) 2, LOG 2 for each KB after compression.
A flush of 64 KB of JSON frames packs to 6-10 KB: some 18 units; a quarter second of text, under 1 KB: 4. The index is
not touched: it does not project `recorded`. Putting LOG alone and moving `recorded` behind it would halve this, for
two round trips and groups of fenced-off gateways that every reader must tell from valid ones; one transaction keeps
"a LOG item that is there is valid", which readers, takeovers and deletion all lean on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Final

from gateway.errors import RunNotFound
from gateway.model import Run
from gateway.store import keys
from gateway.store.bodies import PIECE_BYTES, drop_pieces, get_pieces, put_pieces
from gateway.store.client import Table
from gateway.store.codec import Item, pack, unpack
from gateway.store.leases import Leases
from gateway.store.lifetime import Lifetime
from gateway.store.queries import between
from gateway.store.requests import ConditionFailed, put, update
from gateway.store.runitems import FENCE, fence
from gateway.store.sealing import OVERHEAD, Sealer, sealed

PIECE_FRAMES_BYTES: Final = 256 * 1024 + 1024
"""Frames in one piece, before compression: the longest frame and its stamp fit."""

PIECE_LIMIT: Final = 390_000
"""Largest packed piece that fits an item, with what encrypting it adds; only a frame far over the protocol's limit can
be larger."""


class Frames:
    """What the store does with frames."""

    def __init__(self, table: Table, lifetime: Lifetime, leases: Leases, sealer: Sealer) -> None:
        self._table = table
        self._sealer = sealer
        self._lifetime = lifetime
        self._leases = leases

    async def append(
        self, run: Run, *, first: int, last: int, frames: bytes, own: bool = False
    ) -> Run | None:
        """See `Store.append_frames`. Frames that the same lease has stored already are left out.
        Raises `ValueError` for frames that are not `first..last` or do not follow `recorded`."""
        lines = [line + b"\n" for line in frames.split(b"\n")[:-1]]
        if len(lines) != last - first + 1 or not frames.endswith(b"\n"):
            raise ValueError(f"{len(lines)} lines are not the frames {first} to {last}")
        written = len(lines) if own else 0
        while True:
            body = await self._body(run.session, lines)
            try:
                await self._table.transact(
                    [
                        update(
                            keys.run(run.session, run.id),
                            "SET #recorded = :last, #own = :own, #takeovers = :none",
                            f"{FENCE} AND #recorded = :behind",
                            last=last,
                            own=written,
                            none=0,
                            behind=first - 1,
                            **fence(run),
                        ),
                        put(await self.log_item(run, first, last, body)),
                    ]
                )
            except ConditionFailed as failed:
                await drop_pieces(self._table, run.session, body)
                there = failed.found[0] or {}
                if there.get("generation") != run.generation or there.get("lease_owner") != run.lease_owner:
                    return None
                recorded: int = there["recorded"]
                if recorded >= last:
                    return replace(run, recorded=recorded, own=there.get("own", 0), takeovers=0)
                if "open" not in there:
                    return None
                if recorded < first:
                    raise ValueError(f"frame {first} does not follow {recorded}") from None
                lines, first = lines[recorded + 1 - first :], recorded + 1
            else:
                return replace(run, recorded=last, own=written, takeovers=0)

    async def log_item(self, run: Run, first: int, last: int, body: Item) -> Item:
        """LOG of the frames `first..last`. `body`: as `pack` made it, or what names its pieces."""
        pk, sk = keys.log(run.session, run.id, last)
        if "body" in body:
            body = sealed(await self._sealer.key(), (pk, sk), body)
        return {"pk": pk, "sk": sk, "first": first, "expires_at": self._lifetime.until_after_all(), **body}

    async def _body(self, session: str, lines: list[bytes]) -> Item:
        """The body in the LOG item where it fits there, else in pieces of whole lines, written already and unseen."""
        whole = b"".join(lines)
        body = await self._table.offload(pack, whole) if len(whole) > 32 * 1024 else pack(whole)
        if len(body["body"]) <= PIECE_BYTES:
            return body
        pieces = await self._table.offload(lambda: [pack(piece) for piece in _pieces(lines)])
        if any(len(piece["body"]) + OVERHEAD > PIECE_LIMIT for piece in pieces):
            raise ValueError(f"a frame is too long to be stored: over {PIECE_LIMIT} bytes after compression")
        expires_at = self._lifetime.until_after_all()
        return await put_pieces(self._table, self._sealer, session, pieces, expires_at=expires_at)

    async def read(self, session: str, run: str, *, after: int) -> AsyncIterator[bytes]:
        """See `Store.read_frames`: what is recorded when the reading begins."""
        recorded = (await self._leases.get(session, run)).recorded
        if recorded <= after:
            return
        behind = after
        async for page in self._table.pages(
            between(keys.log(session, run, after + 1), keys.log(session, run, recorded))
        ):
            await self._sealer.ready(page)
            for item in page:
                if item["first"] > behind + 1:
                    raise _expired(run, behind + 1, item["first"] - 1)
                skip = max(0, after + 1 - item["first"])
                async for chunk in self._chunks(session, item):
                    lines = chunk.split(b"\n", skip) if skip else [chunk]
                    skip -= len(lines) - 1
                    if lines[-1]:
                        yield lines[-1]
                behind = keys.last_of(item["sk"])
        if behind < recorded:
            raise _expired(run, behind + 1, recorded)

    async def _chunks(self, session: str, item: Item) -> AsyncIterator[bytes]:
        if "part" not in item:
            yield unpack(self._sealer.opened(item))
            return
        async for piece in get_pieces(self._table, self._sealer, session, item):
            yield unpack(piece)


def _expired(run: str, first: int, last: int) -> RunNotFound:
    return RunNotFound(f"the frames {first} to {last} of run {run} have expired", field="run")


def _pieces(lines: list[bytes]) -> Iterator[bytes]:
    """The lines in groups of up to `PIECE_FRAMES_BYTES`, at least one line each."""
    group: list[bytes] = []
    size = 0
    for line in lines:
        if group and size + len(line) > PIECE_FRAMES_BYTES:
            yield b"".join(group)
            group, size = [], 0
        group.append(line)
        size += len(line)
    yield b"".join(group)
