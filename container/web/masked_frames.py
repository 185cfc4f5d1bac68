"""A WebSocket that refuses unmasked frames, which RFC 6455 section 5.1 demands of a server and aiohttp lets pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.http_websocket import WebSocketWriter

_REFUSED: Final = b"\xff\x80"
"""The head of a frame with reserved bits and a reserved opcode: every reader closes with 1002 at it."""

_EXTENDED: Final = {126: 2, 127: 8}
"""How many bytes of length follow a seven-bit length of this value (RFC 6455 section 5.2)."""


class Reader(Protocol):
    """What a connection feeds its bytes to: aiohttp's `WebSocketReader` is one."""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]: ...

    def feed_eof(self) -> None: ...


class MaskedReader:
    """Stands before a reader and hands it a client's bytes; in place of the first unmasked frame and of all after it
    the reader gets one that it refuses, so that the close is the reader's own, in its order."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._ahead = 0  # bytes of the frame under way that are still to come
        self._held = b""  # the start of a head that has not come whole
        self._refused = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Look at the head of each frame that begins in `data`, and hand on."""
        if self._refused:
            return True, b""
        if len(data) <= self._ahead:
            self._ahead -= len(data)
            return self._reader.feed_data(data)
        data = self._held + data
        size, at = len(data), self._ahead
        while at + 2 <= size:
            length = data[at + 1] - 0x80
            if length < 0:
                self._refused = True
                return self._reader.feed_data(data[:at] + _REFUSED)
            body = at + 2
            if extended := _EXTENDED.get(length):
                body += extended
                if body > size:
                    break
                length = int.from_bytes(data[at + 2 : body], "big")
            at = body + 4 + length
        self._held = data[at:]
        self._ahead = max(0, at - size)
        return self._reader.feed_data(data[:at])

    def feed_eof(self) -> None:
        """Hand on the connection's end."""
        self._reader.feed_eof()


class MaskedWebSocketResponse(web.WebSocketResponse):
    """`web.WebSocketResponse` that closes with 1002 at an unmasked frame."""

    def _post_start(self, request: web.BaseRequest, protocol: str | None, writer: WebSocketWriter) -> None:
        # aiohttp has no public place for this: what came right behind the handshake is kept back, too.
        connection = request.protocol
        tail, connection._message_tail = connection._message_tail, b""  # noqa: SLF001
        super()._post_start(request, protocol, writer)
        assert self._parser is not None  # noqa: S101 - super() has just made it
        reader = MaskedReader(self._parser)
        connection._payload_parser = reader  # noqa: SLF001
        if tail:
            reader.feed_data(tail)
