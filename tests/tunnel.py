"""A loopback TCP front that rewrites the head of each connection's request and passes all other bytes as they are."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from tests.listening import listening

MAX_HEAD_BYTES = 64 * 1024
CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """Where a connection goes, and the head that goes there in place of the client's."""

    host: str
    port: int
    head: bytes


Choose = Callable[[bytes], AbstractAsyncContextManager["Target | bytes"]]
"""Given a request's head (with its blank line), a context that holds for as long as the connection does: the target, or
bytes that are the whole answer."""


@asynccontextmanager
async def tunnel(choose: Choose) -> AsyncIterator[int]:
    """Serve on a free port of 127.0.0.1 until the block is left; yields the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve(choose, reader, writer)

    async with listening(serve, limit=MAX_HEAD_BYTES) as port:
        yield port


async def _serve(choose: Choose, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    async with choose(head) as target:
        if isinstance(target, bytes):
            await reader.readexactly(_body_bytes(head))
            writer.write(target)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            return
        to, onward = await asyncio.open_connection(target.host, target.port, limit=CHUNK_BYTES)
        try:
            onward.write(target.head)
            async with asyncio.TaskGroup() as copying:
                copying.create_task(_copy(reader, onward))
                copying.create_task(_copy(to, writer))
        except* OSError:
            pass
        finally:
            onward.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


def _body_bytes(head: bytes) -> int:
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return int(found[1]) if found else 0


def request_path(head: bytes) -> str:
    """The request target of a head."""
    return head.split(b" ", 2)[1].decode()


def with_path(head: bytes, path: str) -> bytes:
    """The head with another request target."""
    method, _, rest = head.split(b" ", 2)
    return b" ".join((method, path.encode(), rest))


def with_header(head: bytes, name: str, value: str) -> bytes:
    """The head with one header more."""
    return head[:-2] + f"{name}: {value}\r\n\r\n".encode()


def answer(status: str, body: bytes = b"") -> bytes:
    """A whole HTTP response that ends its connection."""
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode() + body
