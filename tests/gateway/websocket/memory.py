"""A transport in memory: a connection's peer is fed by hand, and what the connection writes is kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from gateway.websocket.frames import CONTROL, OPCODE, Op, mask
from gateway.websocket.walker import Walker

if TYPE_CHECKING:
    from gateway.websocket.connection import Connection


class MemoryTransport(asyncio.Transport):
    """Takes everything at once, unless `waiting` says how many bytes are stuck in it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.waiting = 0
        self.paused = False
        self.ended = False
        self._protocol: Any = None

    def is_reading(self) -> bool:
        return not self.paused

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol  # type: ignore[no-any-return]

    def write(self, data: Any) -> None:
        assert not self.ended
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """The peer sees the end; it is not told here."""

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return self.ended

    def close(self) -> None:
        if not self.ended:
            self.ended = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()


async def feed(connection: Connection, transport: MemoryTransport, data: bytes, piece: int) -> None:
    """Let `data` come in pieces, whenever it is read."""
    for at in range(0, len(data), piece):
        while transport.paused and not transport.ended:
            await asyncio.sleep(0)
        if transport.ended:
            return
        connection.data_received(data[at : at + piece])


def frames_of(data: bytes, *, masked: bool = False) -> list[tuple[int, bytes]]:
    """The opcode and payload of each frame in `data`, which ends with one."""
    walker = Walker(masked=masked, whole=True, limit=2**40)
    found = []
    at = 0
    while at < len(data):
        piece = bytes(data[at:])
        stop = walker.walk(piece)
        assert stop, piece[:20]
        for first, _, body, end in walker.frames:
            payload = mask(piece[body:end], piece[body - 4 : body]) if masked else piece[body:end]
            found.append((first & OPCODE, payload))
        walker.closing = False
        at += stop
    assert walker.breach is None
    return found


def texts_of(data: bytes) -> list[bytes]:
    """The text messages of a server in `data`."""
    return [payload for op, payload in frames_of(data) if op == Op.TEXT and not op & CONTROL]
