"""A WebSocket at a terminal: what the shell says from a cursor on, and what the client types, each byte once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from typing import Any, Final

from aiohttp import WSMsgType, web

from container.errors import BadRequest
from container.protocol import PING_SECONDS, Close, FrameType, TerminalFrame, encode
from container.terminals.terminal import Terminal

log = logging.getLogger(__name__)

MESSAGE_BYTES: Final = 64 * 1024
"""Longest message, each way."""

WINDOW_BYTES: Final = 512 * 1024
"""So much may be on its way to a client that says what it has."""

STALL_SECONDS: Final = 60.0
"""A reader that takes nothing for this long is closed with 1013; it resumes with its cursor."""

TICK_SECONDS: Final = 5.0
"""How often a reader's ping and stall are looked at."""

MOST_CELLS: Final = 500
"""Columns, and rows, of a terminal."""

_PING: Final = encode({"type": FrameType.PING})


def size_of(cols: Any, rows: Any) -> tuple[int, int]:
    """Columns and rows. Raises BadRequest naming the one at fault."""
    for field, value in (("cols", cols), ("rows", rows)):
        if type(value) is not int or not 1 <= value <= MOST_CELLS:
            raise BadRequest(f"{field} must be a whole number from 1 to {MOST_CELLS}.", field=field)
    return cols, rows


class TerminalReader:
    """Reads and types until the shell's end, the client's leave, a stall, or until the same client comes back on
    another connection. One task sends, one receives."""

    def __init__(
        self,
        ws: web.WebSocketResponse,
        terminal: Terminal,
        client: str,
        cursor: int,
        *,
        acks: bool,
        typed: Callable[[], None],
        abort: Callable[[], None],
    ) -> None:
        """`typed`: called when the client types. `abort`: cuts the connection, whatever waits. `acks`: the client says
        how far it has got, and is waited for when it is cut off. Raises CursorAhead."""
        self._ws = ws
        self._abort = abort
        self._terminal = terminal
        self._client = client
        self._acks = acks
        self._typed = typed
        self._hold, self._missed = terminal.hold(client, cursor)
        self._sent = self._hold.cursor
        self._loop = asyncio.get_running_loop()
        self._size = (terminal.cols, terminal.rows)
        self._told_input = -1
        self._input = terminal.taken(client)
        self._is_sending = False
        self._ping_due = False
        self._sent_at = self._loop.time()
        self._replaced: asyncio.Future[None] = self._loop.create_future()
        self._stalled: asyncio.Future[None] = self._loop.create_future()
        if (before := terminal.readers.get(client)) is not None:
            before()
        terminal.readers[client] = self._replace

    def _replace(self) -> None:
        if not self._replaced.done():
            self._replaced.set_result(None)

    async def serve(self) -> None:
        """Serve the client, then close the WebSocket. Raises BadRequest for a message that is none."""
        tasks: list[asyncio.Future[None]] = [
            asyncio.create_task(self._send_all(), name=f"terminal-reader-{self._terminal.id}"),
            asyncio.create_task(self._receive(), name=f"terminal-receiver-{self._terminal.id}"),
            self._replaced,
            self._stalled,
        ]
        ticker = asyncio.create_task(self._watch())
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            if not self._replaced.done():
                del self._terminal.readers[self._client]
            for task in (*tasks, ticker):
                task.cancel()
            await asyncio.gather(*tasks, ticker, return_exceptions=True)
            comes_back = self._acks and self._ws.close_code != Close.OK
            self._terminal.release(self._client, self._hold, comes_back=comes_back)
        if self._replaced in done:
            await self._ws.close(code=Close.CONFLICT, message=b"connected elsewhere")
        elif self._stalled in done:
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(1):
                    await self._ws.close(code=Close.TRY_AGAIN, message=b"too slow")
            self._abort()  # what waits for one that takes nothing would wait for ever

    # -- out --
    async def _send_all(self) -> None:
        with contextlib.suppress(ConnectionError):  # it went away
            await self._begin()
            while not await self._send_next():
                pass
            code = self._terminal.exit_code
            await self._send({"type": TerminalFrame.EXIT, "exitCode": code})
            await self._ws.close(code=Close.OK)

    async def _begin(self) -> None:
        """Say where the bytes that follow begin, and how much was typed already."""
        terminal = self._terminal
        self._told_input = self._input
        await self._send(
            {
                "type": TerminalFrame.TERMINAL,
                "id": terminal.id,
                "cursor": self._sent,
                "missed": self._missed,
                "input": self._input,
                "cols": self._size[0],
                "rows": self._size[1],
            }
        )

    async def _send_next(self) -> bool:
        """Send what there is, or wait for it; whether all was said."""
        terminal, ring = self._terminal, self._terminal.ring
        if self._sent < ring.start:  # its claim had to make room for others
            self._hold, self._missed = terminal.hold(self._client, self._sent)
            self._sent = self._hold.cursor
            await self._begin()
        if (size := (terminal.cols, terminal.rows)) != self._size:
            self._size = size
            await self._send({"type": TerminalFrame.RESIZE, "cols": size[0], "rows": size[1]})
        if self._told_input != self._input:
            self._told_input = self._input
            await self._send({"type": TerminalFrame.INPUT, "taken": self._input})
        room = WINDOW_BYTES - (self._sent - self._hold.cursor) if self._acks else MESSAGE_BYTES
        if data := ring.read(self._sent, max(0, min(MESSAGE_BYTES, room))):
            await self._write(data, WSMsgType.BINARY)
            self._sent += len(data)
            if not self._acks:
                terminal.moved(self._hold, self._sent)
            await asyncio.sleep(0)
            return False
        if self._sent == ring.end and terminal.exit_code is not None:
            return True
        if self._ping_due:
            self._ping_due = False
            await self._write(_PING, WSMsgType.TEXT)
        elif self._told_input == self._input and (terminal.cols, terminal.rows) == self._size:
            await terminal.changed()
        return False

    async def _send(self, frame: dict[str, Any]) -> None:
        await self._write(encode(frame), WSMsgType.TEXT)

    async def _write(self, data: bytes, kind: WSMsgType) -> None:
        self._is_sending = True
        await self._ws.send_frame(data, kind)
        self._is_sending = False
        self._sent_at = self._loop.time()

    # -- in --
    async def _receive(self) -> None:
        async for message in self._ws:
            if self._replaced.done():
                return
            if message.type is WSMsgType.BINARY:
                self._typed()
                self._input = self._terminal.type(self._client, message.data)
                self._terminal.wake()
                await self._terminal.settled()
            elif message.type is WSMsgType.TEXT:
                self._act(message.data)

    def _act(self, text: str) -> None:
        try:
            frame = json.loads(text)
        except (ValueError, RecursionError):
            frame = None
        if not isinstance(frame, dict):
            raise BadRequest("A text message must be a JSON object; what is typed is binary.", field="frame")
        if frame.get("type") == TerminalFrame.RESIZE:
            self._terminal.resize(*size_of(frame.get("cols"), frame.get("rows")))
        elif frame.get("type") == TerminalFrame.ACK and self._acks:
            cursor = frame.get("cursor")
            if type(cursor) is not int or not 0 <= cursor <= self._sent:
                raise BadRequest("cursor must be the offset of a byte that was sent.", field="cursor")
            self._terminal.moved(self._hold, cursor)
            self._terminal.wake()

    # -- whether it is there --
    async def _watch(self) -> None:
        """Ask for a `ping` when nothing else was sent, and tell a stall."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            quiet = self._loop.time() - self._sent_at
            if self._is_sending and quiet > STALL_SECONDS:
                log.warning("terminal %s: a reader took nothing for %d s", self._terminal.id, quiet)
                self._stalled.set_result(None)
                return
            if not self._is_sending and quiet >= PING_SECONDS - TICK_SECONDS / 2:
                self._ping_due = True
                self._terminal.wake()
