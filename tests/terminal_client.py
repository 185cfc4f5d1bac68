"""A client of a terminal that goes on where it was cut off: what it has got, and what it has typed, each byte once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Callable
from typing import Any

import aiohttp

SECONDS = 60.0
"""How long a test waits for what must come, on a busy machine too."""


class Shell:
    """`output`: all that came. `connect`: a WebSocket at the terminal, with these query fields. `missed`: bytes that
    were told to be gone. `cuts`: connections that ended before the shell did."""

    def __init__(self, connect: Callable[[dict[str, str]], Any], name: str = "") -> None:
        self.name = name
        self.client = f"c-{secrets.token_hex(8)}"
        self.output = bytearray()
        self.typed = bytearray()
        self.cursor = self.missed = self.taken = self.cuts = 0
        self.exit_code: int | None = None
        self.size = (0, 0)
        self.frames: list[dict[str, Any]] = []
        self.close_code: int | None = None
        self._connect = connect
        self._ws: aiohttp.ClientWebSocketResponse[Any] | None = None
        self._begun = False
        self._moved = asyncio.Condition()

    async def type(self, text: str | bytes) -> None:
        """Type now, and again after a cut, where it was not taken."""
        data = text.encode() if isinstance(text, str) else text
        self.typed += data
        if self._ws is not None and self._begun and not self._ws.closed:
            with contextlib.suppress(ConnectionError):
                await self._ws.send_bytes(data)

    async def resize(self, cols: int, rows: int) -> None:
        assert self._ws is not None
        await self._ws.send_json({"type": "resize", "cols": cols, "rows": rows})

    async def cut(self) -> None:
        """Cut the connection in this moment, without a word."""
        await self.until(lambda: self._ws is not None)
        assert self._ws is not None
        if (connection := self._ws._response.connection) is not None and connection.transport is not None:
            connection.transport.abort()

    async def follow(self, pause: float = 0.0) -> None:
        """Read until the shell's end, or until nothing more is to be had, through as many connections as it takes;
        `pause` seconds between two."""
        while self.exit_code is None:
            try:
                await self.read_one_connection()
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
            self.cuts += self.exit_code is None
            async with self._moved:
                self._moved.notify_all()
            if self.close_code is not None and self.close_code >= 4000:
                return  # whoever needs more than this finds it missing
            await asyncio.sleep(pause)

    async def read_one_connection(self) -> None:
        query = {"cursor": str(self.cursor), "client": self.client, "acks": "1"}
        async with self._connect(query) as ws:
            self._ws, self._begun = ws, False
            async with self._moved:
                self._moved.notify_all()
            try:
                await self._read(ws)
            finally:
                self._ws = None
        self.close_code = ws.close_code

    async def _read(self, ws: Any) -> None:
        async for message in ws:
            if message.type is aiohttp.WSMsgType.BINARY:
                self.output += message.data
                self.cursor += len(message.data)
                await self._send(ws, {"type": "ack", "cursor": self.cursor})
            elif message.type is aiohttp.WSMsgType.TEXT:
                frame = json.loads(message.data)
                self.frames.append(frame)
                await self._act(ws, frame)
            async with self._moved:
                self._moved.notify_all()

    async def _act(self, ws: Any, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "terminal":
                assert frame["cursor"] == self.cursor + frame["missed"]
                self.cursor = frame["cursor"]
                self.missed += frame["missed"]
                self.taken = frame["input"]
                self.size = (frame["cols"], frame["rows"])
                for at in range(self.taken, len(self.typed), 32768):
                    await ws.send_bytes(bytes(self.typed[at : at + 32768]))
                self._begun = True
            case "input":
                self.taken = frame["taken"]
            case "resize":
                self.size = (frame["cols"], frame["rows"])
            case "exit":
                self.exit_code = frame["exitCode"]

    async def _send(self, ws: Any, frame: dict[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):
            await ws.send_json(frame)

    @property
    def is_connected(self) -> bool:
        return self._ws is not None

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait while something else follows."""
        async with asyncio.timeout(SECONDS), self._moved:
            await self._moved.wait_for(holds)

    async def shows(self, text: str) -> None:
        await self.until(lambda: text.encode() in self.output)
