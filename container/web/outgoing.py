"""What a WebSocket is sent: one message, or many in one write; nothing goes behind its close."""

from __future__ import annotations

import struct
from typing import Final

from aiohttp import ClientConnectionResetError, WSMsgType, web

_TEXT: Final = 0x80 | WSMsgType.TEXT.value
"""The first byte of a text message in one frame (RFC 6455 section 5.2)."""

_SHORT: Final = tuple(bytes((_TEXT, size)) for size in range(126))
_MIDDLE: Final = struct.Struct(">BBH").pack
_LONG: Final = struct.Struct(">BBQ").pack


def text_frames(lines: bytes) -> bytes:
    """Each of the lines, which newlines part, as a text message of its own, unmasked as a server's are."""
    parts: list[bytes] = []
    for line in lines.split(b"\n"):
        size = len(line)
        if size < 126:
            parts.append(_SHORT[size])
        elif size < 65536:
            parts.append(_MIDDLE(_TEXT, 126, size))
        else:
            parts.append(_LONG(_TEXT, 127, size))
        parts.append(line)
    return b"".join(parts)


class Outgoing:
    """The sending side of a WebSocket that is prepared. Both calls wait while the peer takes nothing, and raise
    ConnectionError once it is gone or the close has been said."""

    def __init__(self, ws: web.WebSocketResponse, request: web.BaseRequest) -> None:
        self._ws = ws
        self._request = request

    async def message(self, message: bytes) -> None:
        """Send a text message."""
        await self._ws.send_frame(message, WSMsgType.TEXT)

    async def messages(self, lines: bytes) -> None:
        """Send each line as a text message. aiohttp would take a write, and a turn of the sender, for each."""
        transport = self._request.transport
        if transport is None or transport.is_closing() or self._ws.closed:
            raise ClientConnectionResetError("Cannot write to a closing connection")
        transport.write(text_frames(lines))
        await self._request.writer.drain()

    def abort(self) -> None:
        """Cut the connection, whatever waits."""
        if self._request.transport is not None:
            self._request.transport.abort()
