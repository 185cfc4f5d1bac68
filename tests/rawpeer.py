"""A WebSocket peer by hand on a raw socket: sends what no library would, and reads frames without answering them."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum

from yarl import URL


class Op(IntEnum):
    """Opcodes (RFC 6455 section 5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as it came."""

    op: int
    payload: bytes
    fin: bool

    @property
    def close_code(self) -> int | None:
        """Of a close frame."""
        return struct.unpack(">H", self.payload[:2])[0] if self.op == Op.CLOSE and self.payload else None


def frame(
    op: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, declared: int | None = None
) -> bytes:
    """A client's frame; `masked=False` breaks RFC 6455 section 5.1, `declared` is a length other than the payload's."""
    length = len(payload) if declared is None else declared
    mask_bit = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | op])
    if length < 126:
        head += bytes([mask_bit | length])
    elif length < 65536:
        head += bytes([mask_bit | 126]) + struct.pack(">H", length)
    else:
        head += bytes([mask_bit | 127]) + struct.pack(">Q", length)
    if not masked:
        return head + payload
    key = os.urandom(4)
    repeated = key * (len(payload) // 4 + 1)
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(repeated[: len(payload)], "big")
    return head + key + mixed.to_bytes(len(payload), "big")


class RawPeer:
    """One connection. Reads raise `asyncio.IncompleteReadError` or ConnectionError once the server has gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def read_head(self) -> int:
        """The status of the server's answer to the handshake."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1])

    async def read(self) -> Frame:
        """The next frame."""
        first, second = await self.reader.readexactly(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", await self.reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", await self.reader.readexactly(8))
        return Frame(first & 0x0F, await self.reader.readexactly(length), bool(first & 0x80))

    async def read_close(self) -> int | None:
        """The code of the close frame that ends the connection, whatever comes before it; None when there is none."""
        try:
            while (came := await self.read()).op != Op.CLOSE:
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return came.close_code


def handshake(url: URL, headers: Mapping[str, str]) -> bytes:
    """The head of an upgrade request (RFC 6455 section 4.1)."""
    lines = [
        f"GET {url.raw_path_qs} HTTP/1.1",
        f"Host: {url.authority}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@asynccontextmanager
async def dial(url: URL, *, receive_buffer: int | None = None) -> AsyncIterator[RawPeer]:
    """A TCP connection and nothing more; `receive_buffer` in bytes makes a slow reader slow soon."""
    assert url.host is not None
    assert url.port is not None
    raw = socket.socket()
    raw.setblocking(False)
    if receive_buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        await asyncio.get_running_loop().sock_connect(raw, (url.host, url.port))
        reader, writer = await asyncio.open_connection(sock=raw, limit=receive_buffer or 2**16)
    except BaseException:
        raw.close()
        raise
    try:
        yield RawPeer(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def connect(
    url: URL, headers: Mapping[str, str], *, receive_buffer: int | None = None
) -> AsyncIterator[RawPeer]:
    """A connection that has been upgraded."""
    async with dial(url, receive_buffer=receive_buffer) as peer:
        await peer.send(handshake(url, headers))
        status = await peer.read_head()
        assert status == 101, status
        yield peer
