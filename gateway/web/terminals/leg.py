"""A browser's WebSocket at a terminal: messages as they are, both ways, each side at the pace of the other."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from container.protocol import Close, FrameType, encode
from gateway.sandboxes.agent_client import TERMINAL_MESSAGE_LIMIT
from gateway.web.request.expiry import NO_END, expired
from gateway.web.streams.browser_connection import RECONNECT_SPREAD_MS, first
from gateway.websocket.frames import Op, frame
from gateway.websocket.messages import Binary, Messages
from gateway.websocket.pace import Pace

if TYPE_CHECKING:
    from gateway.errors import VaporForgeError
    from gateway.runs.service import RunService

INPUT_FRAMES: Final = 1000
"""Small messages of a browser that are read in a second: keys, a mouse that moves, what it says that it has got."""

INPUT_BYTES: Final = 1024 * 1024
"""Bytes of a browser that are read in a second: what is pasted."""

HANDED_ON: Final = frozenset(
    {Close.OK, Close.BAD_REQUEST, Close.NOT_FOUND, Close.CONFLICT, Close.CURSOR_AHEAD}
)
"""Close codes of an agent server that mean to a browser what they say; all others are a sandbox that went away."""


def terminal_socket(session: str, hollow: float) -> Messages:
    """A browser's end of a terminal. More than its pace is read later, and nothing of it is lost."""
    return Messages(
        server=True,
        limit=TERMINAL_MESSAGE_LIMIT,
        pace=Pace(frames=INPUT_FRAMES, size=INPUT_BYTES, hollow=hollow),
        name=f"session {session}: a browser's end of a terminal",
        binary=True,
    )


class TerminalLeg:
    """Until the shell or a side ends, this gateway drains, or the browser's token does, at `until` (epoch seconds)."""

    def __init__(self, runs: RunService, socket: Messages, session: str, until: float = NO_END) -> None:
        self._runs = runs
        self._socket = socket
        self._session = session
        self._until = until
        self._typed = asyncio.Event()

    async def serve(self, upstream: Messages) -> None:
        """Pass messages until one side ends. Raises `Unauthorized`."""
        try:
            ended = await first(
                self._down(upstream),
                self._up(upstream),
                self._runs.drained.wait(),
                expired(self._until),
                self._note_use(),
            )
            if ended == 0:
                code = upstream.close_code
                await self._socket.close(Close(code) if code in HANDED_ON else Close.TRY_AGAIN)
            elif ended == 2:
                await self._send_elsewhere()
        finally:
            # As a browser that was cut off is: with the code that it closed with, where it did.
            await upstream.close(Close.OK if self._socket.close_code == Close.OK else Close.GOING_AWAY)

    async def _send_elsewhere(self) -> None:
        """Have the browser reconnect, to another gateway; it knows how far it has got."""
        delay = random.randint(*RECONNECT_SPREAD_MS)
        with suppress(ConnectionError):
            await self._socket.send_text(encode({"type": FrameType.RECONNECT, "delayMs": delay}))
        await self._socket.close(Close.GOING_AWAY)

    async def fail(self, error: VaporForgeError) -> None:
        """End with an `error` frame and the error's close code."""
        with suppress(ConnectionError):
            await self._socket.send_text(encode({"type": FrameType.ERROR, **error.body()}))
        await self._socket.close(error.close, error.code)

    async def _down(self, upstream: Messages) -> None:
        async for message in upstream:
            await self._socket.send(_framed(message, masked=False))

    async def _up(self, upstream: Messages) -> None:
        async for message in self._socket:
            if isinstance(message, Binary):
                self._typed.set()
            await upstream.send(_framed(message, masked=True))

    async def _note_use(self) -> None:
        """Who types uses the session, by what comes from the browser and not by a sandbox's word."""
        while True:
            await self._typed.wait()
            self._typed.clear()
            await self._runs.uses.note(self._session)


def _framed(message: bytes, *, masked: bool) -> bytes:
    return frame(Op.BINARY if isinstance(message, Binary) else Op.TEXT, message, masked=masked)
