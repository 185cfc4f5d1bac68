"""Sinks of a browser: a WebSocket, or a stream of server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiohttp import web

from container.protocol import seq_of
from gateway.runs.sink import Progress, copy
from gateway.websocket.frames import Op, frame
from gateway.websocket.messages import Messages

EVENT_HEARTBEAT_SECONDS = 30.0
"""A comment goes out this often, whatever else does, so that who waits for it knows a live stream from a dead one."""


class WebSocketSink:
    """One message is one WebSocket text message, its bytes untouched."""

    def __init__(self, socket: Messages, *, batch: bool) -> None:
        self._socket = socket
        self.batch = batch

    async def send(self, message: bytes) -> None:
        """Copy the message through."""
        await self._socket.send_text(message)

    def encoded(self, messages: Iterable[bytes]) -> bytes:
        """See Sink."""
        return b"".join([frame(Op.TEXT, message, masked=False) for message in messages])

    async def write(self, data: bytes) -> None:
        """See Sink."""
        await self._socket.send(data)

    async def pump(self, upstream: Messages, progress: Progress) -> None:
        """Let the upstream's frames through as they are."""
        await upstream.forward(self._socket, progress.note)


class EventSink:
    """One frame is one event; its id is the cursor `run:seq`."""

    batch = True

    def __init__(self, response: web.StreamResponse, run: str) -> None:
        self._response = response
        self._run = run

    async def send(self, message: bytes) -> None:
        """Write every frame of the message as an event."""
        await self.write(self.encoded((message,)))

    def encoded(self, messages: Iterable[bytes]) -> bytes:
        """See Sink."""
        events = []
        for message in messages:
            for line in message.split(b"\n"):
                seq = seq_of(line)
                cursor = b"" if seq is None else b"id: %s:%d\n" % (self._run.encode(), seq)
                # JSON may have a raw CR between its tokens, never within one; in an event it would end the line.
                events.append(b"%sdata: %s\n\n" % (cursor, line.replace(b"\r", b" ")))
        return b"".join(events)

    async def pump(self, upstream: Messages, progress: Progress) -> None:
        """Send each of the upstream's messages."""
        await copy(upstream, self, progress)

    async def write(self, data: bytes) -> None:
        """Write raw event-stream bytes."""
        await self._response.write(data)

    async def heartbeat(self) -> None:
        """Write a comment at a steady pace; ends when the peer is gone."""
        while True:
            await asyncio.sleep(EVENT_HEARTBEAT_SECONDS)
            await self.write(b": heartbeat\n\n")
