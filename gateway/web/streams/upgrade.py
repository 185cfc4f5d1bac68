"""Hands a connection over, behind the WebSocket handshake that aiohttp answers, to one of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from aiohttp.http_websocket import WebSocketWriter
    from aiohttp.web_protocol import RequestHandler

    from gateway.websocket.connection import Connection


class Upgraded(web.WebSocketResponse):
    """The answer to a handshake; `protocol` is the subprotocol that was chosen. Once it is prepared, `connection` has
    the transport. aiohttp's own protocol is told when that is lost: at once, which cancels the request's handler, or,
    behind a close that was said, when the handler has come to its end, so that the request is logged."""

    def __init__(self, protocol: str | None, connection: Connection) -> None:
        super().__init__(compress=False, protocols=(protocol,) if protocol else ())
        self._connection = connection
        self._told: Callable[[], object] | None = None

    def _post_start(self, request: web.BaseRequest, protocol: str | None, _writer: WebSocketWriter) -> None:
        # In place of aiohttp's own frame parser, for which it has no public place.
        self._ws_protocol = protocol
        handler = request.protocol
        transport: asyncio.Transport | None = handler.transport
        if transport is None:
            raise ConnectionResetError("the browser left during its handshake")
        early = _Early()
        handler.set_parser(early)  # type: ignore[arg-type]
        handler.keep_alive(False)
        # As behind a lost connection: it holds more than a KiB, and reads nothing any more.
        handler._parser = None  # noqa: SLF001
        self._connection.on_lost = lambda error: self._lost(handler, error)
        self._connection.begin(transport, bytes(early.data))

    def _lost(self, handler: RequestHandler, error: Exception | None) -> None:
        if self._connection.has_said_close and not self._eof_sent:
            self._told = lambda: handler.connection_lost(error)
        else:
            handler.connection_lost(error)

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002 - aiohttp's signature
        """The handler has ended; nothing comes behind a WebSocket."""
        self._eof_sent = True
        if self._told is not None:
            self._connection.loop.call_soon(self._told)


class _Early:
    """What aiohttp takes for a parser: it keeps what came right behind the handshake."""

    def __init__(self) -> None:
        self.data = bytearray()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """The connection's own protocol has heard of it."""
