"""A WebSocket to an agent server, from the handshake on: a bounded head, a deadline, and bytes from then on."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Final, cast

from aiohttp import hdrs

from gateway.sandboxes.drivers import proof
from gateway.websocket.connection import Connection

HEAD_LIMIT: Final = 16 * 1024
BODY_LIMIT: Final = 16 * 1024
"""Bytes read of an answer that is no upgrade: a sandbox may send one without end."""

HANDSHAKE_SECONDS: Final = 10.0
"""A frozen agent server takes connections and never answers."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 section 1.3."""

_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: [^\r\n]*)?\r\n")


class HandshakeError(OSError):
    """The answer is no WebSocket handshake."""


class Refused(Exception):
    """The server answered with another status; `body` is the start of its body."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


async def dial(connection: Connection, host: str, port: int, target: str, headers: Mapping[str, str]) -> None:
    """Begin `connection` at the server's `target`, a path with its query.

    A sandbox's token among the `headers` is sent once the server has shown to know it. Raises `Refused` for an answer
    with another status than 101, `OSError` and `TimeoutError` when there is no good answer within `HANDSHAKE_SECONDS`.
    Redirects are not followed; neither extension nor subprotocol is offered.
    """
    key = base64.b64encode(secrets.token_bytes(16))
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(HANDSHAKE_SECONDS):
        transport, handshake = await loop.create_connection(lambda: _Handshake(key), host, port)
        try:
            if token := proof.shown_token(headers.get(hdrs.AUTHORIZATION, "")):
                await proof.prove(transport, handshake, token)
            transport.write(_request(host, port, target, headers, key))
            early = await handshake.answer
        except BaseException:
            transport.abort()
            raise
    connection.begin(transport, early)


def _request(host: str, port: int, target: str, headers: Mapping[str, str], key: bytes) -> bytes:
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: [{host}]:{port}" if ":" in host else f"Host: {host}:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key.decode()}",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class _Handshake(asyncio.Protocol):
    """`answer`: the bytes behind a good head. The transport is paused by then."""

    def __init__(self, key: bytes) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        # Whoever dials may have gone by then: asyncio would log the error as one that nobody took.
        self.answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
        self._accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - the RFC's choice
        self._transport: asyncio.Transport
        self._data = bytearray()
        self._body_at = 0
        self._status = 0
        self._body_size = BODY_LIMIT

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self.answer.done():
            return
        before = max(0, len(self._data) - 3)
        self._data += data
        if not self._body_at:
            end = self._data.find(b"\r\n\r\n", before)
            if end < 0 or end > HEAD_LIMIT:
                if len(self._data) > HEAD_LIMIT:
                    self._fail("the head is too long")
                return
            self._body_at = end + 4
            self._read_head(bytes(self._data[: end + 2]))
        if self._status and len(self._data) - self._body_at >= self._body_size:
            self._refuse()

    def eof_received(self) -> None:
        """See asyncio.Protocol."""
        self.connection_lost(None)

    def connection_lost(self, _error: Exception | None) -> None:
        """See asyncio.Protocol."""
        if not self.answer.done():
            if self._status:
                self._refuse()
            else:
                self._fail("the connection ended")

    def _read_head(self, head: bytes) -> None:
        status = _STATUS.match(head)
        if status is None:
            self._fail("no HTTP")
        elif status[1] != b"101":
            self._status = int(status[1])
            size = _field(head, b"content-length")
            if size is not None and size.isdigit() and len(size) < 10:
                self._body_size = min(int(size), BODY_LIMIT)
        elif _field(head, b"sec-websocket-accept") != self._accept:
            self._fail("another key's Sec-WebSocket-Accept")
        elif (_field(head, b"upgrade") or b"").lower() != b"websocket":
            self._fail("no upgrade to a WebSocket")
        elif _field(head, b"sec-websocket-extensions") or _field(head, b"sec-websocket-protocol"):
            self._fail("an extension or subprotocol that was not offered")
        else:
            self._transport.pause_reading()
            self.answer.set_result(bytes(self._data[self._body_at :]))

    def _refuse(self) -> None:
        self._transport.pause_reading()
        body = self._data[self._body_at : self._body_at + BODY_LIMIT]
        self.answer.set_exception(Refused(self._status, body.decode(errors="replace")))

    def _fail(self, why: str) -> None:
        self.answer.set_exception(HandshakeError(why))


def _field(head: bytes, name: bytes) -> bytes | None:
    """A header's value; None where it is absent."""
    found = re.search(rb"(?i)\r\n" + name + rb":[ \t]*([^\r\n]*?)[ \t]*\r\n", head)
    return found[1] if found else None
