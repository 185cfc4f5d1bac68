"""A connection whose messages are taken whole: one by one, or its frames as they are, into another connection."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from gateway.websocket.connection import PEER, QUEUE, Connection
from gateway.websocket.frames import CONTROL, FIN, OPCODE, Breach, Code, Op, close_code, frame, is_text, mask
from gateway.websocket.pace import Bucket, Pace
from gateway.websocket.walker import Frame

TEXT: Final = int(Op.TEXT)
QUEUE_BYTES: Final = 64 * 1024
QUEUE_MESSAGES: Final = 500
"""Nothing more is read while this much waits for whoever takes the messages."""

INVALID: Final = Breach(Code.INVALID_TEXT, "text that is no UTF-8")
BINARY: Final = Breach(Code.UNSUPPORTED, "binary message")
TOO_MANY: Final = Breach(Code.POLICY, "too many messages")


class Binary(bytes):
    """A binary message."""

    __slots__ = ()


class Messages(Connection):
    """`binary`: whether binary messages are taken; else they are a breach. `budget`: of messages, where they have one:
    who overspends it is closed with 1008."""

    __slots__ = (
        "_binary",
        "_budget",
        "_forward",
        "_kind",
        "_left",
        "_parts",
        "_queue",
        "_queued",
        "_unmasks",
        "_waiter",
    )

    def __init__(
        self,
        *,
        server: bool,
        limit: int,
        pace: Pace,
        name: str,
        binary: bool = False,
        budget: Bucket | None = None,
    ) -> None:
        super().__init__(server=server, whole=True, limit=limit, pace=pace, name=name)
        self._unmasks = server
        self._binary = binary
        self._budget = budget
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._waiter: asyncio.Future[None] | None = None
        self._parts: bytearray | None = None
        self._kind = TEXT
        self._forward: Forward | None = None
        self._left: tuple[int | None] | None = None
        """The peer's close, which is answered once its messages have been taken."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- for who takes the messages --
    async def receive(self, seconds: float | None = None) -> bytes | None:
        """The next message; None at the connection's end. Raises TimeoutError when none comes in time."""
        queue = self._queue
        if not queue and self._left:
            self.closed_by_peer(*self._left)
        if not queue and not self.is_ended:
            waiter = self._waiter = self.loop.create_future()
            timer = None if seconds is None else self.loop.call_later(max(0.0, seconds), _set, waiter)
            try:
                await waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        if queue:
            message = queue.popleft()
            self._queued -= len(message)
            if not queue:
                self.release(QUEUE)
            return message
        if self.is_ended:
            return None
        raise TimeoutError

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        message = await self.receive()
        if message is None:
            raise StopAsyncIteration
        return message

    async def send_text(self, message: bytes) -> None:
        """Send a message. Raises ConnectionResetError once the peer is gone."""
        await self.send(frame(Op.TEXT, message, masked=self.masks))

    async def send_json(self, message: Any) -> None:
        """Send a value as a message."""
        await self.send_text(json.dumps(message, separators=(",", ":")).encode())

    async def forward(self, to: Connection, note: Callable[[bytes], bool]) -> None:
        """Write the frames that come into `to`, as they are, until this connection ends or `to` is gone: messages that
        are whole and nothing else, so that between any two writes another frame may go there. `note` is told of what
        was written: of the last message of each write, and of those before it until it returns True."""
        self._forward = Forward(to, note)
        to.source = self
        try:
            if to.full:
                self.hold(PEER)
            while self._queue:
                self._forward.message(self._queue.popleft())
            self._queued = 0
            self.release(QUEUE)
            if self._left:
                self.closed_by_peer(*self._left)
            if not self.is_ended:
                waiter = self._waiter = self.loop.create_future()
                await asyncio.wait((waiter, to.lost), return_when=asyncio.FIRST_COMPLETED)
        finally:
            to.source = self._forward = self._waiter = None
            self.release(PEER)
        if to.lost.done():
            raise ConnectionResetError("the reader has gone")

    # -- what comes --
    def walked(self, data: bytes, stop: int) -> None:
        """See Connection."""
        frames, forward = self.walker.frames, self._forward
        if self.walker.plain and forward is not None and not self._unmasks:
            if not forward.frames(data, stop, frames):
                self.break_off(INVALID)
            return
        for first, _, body, end in frames:
            payload = data[body:end]
            if self._unmasks:
                payload = mask(payload, data[body - 4 : body])
            if first & CONTROL:
                self._control(first & OPCODE, payload)
            else:
                self._part(first, payload)
            if self.is_ended:
                return

    def _control(self, op: int, payload: bytes) -> None:
        if op == Op.PING:
            if not self.full:  # else a peer that pings and never reads is answered without end
                self.write(frame(Op.PONG, payload, masked=self.masks))
        elif op == Op.CLOSE:
            code = close_code(payload)
            if isinstance(code, Breach):
                self.break_off(code)
            elif self._forward or self._waiter or self.has_said_close:
                self.closed_by_peer(code)
            else:  # who takes the messages is still busy with those before it
                self._left = (code,)

    def _part(self, first: int, payload: bytes) -> None:
        """A message, or a fragment of one."""
        if self._parts is None:
            self._kind = first & OPCODE
            if not first & FIN:
                self._parts = bytearray(payload)
                return
        else:
            self._parts += payload
            if not first & FIN:
                return
            payload = bytes(self._parts)
            self._parts = None
        if self._kind == TEXT:
            if not is_text(payload):
                self.break_off(INVALID)
                return
        elif self._binary:
            payload = Binary(payload)
        else:
            self.break_off(BINARY)
            return
        self._message(payload)

    def _message(self, message: bytes) -> None:
        if self._budget is not None and self._budget.take(1):
            self.break_off(TOO_MANY)
        elif self._forward is not None:
            self._forward.message(message)
        elif not self.has_said_close:
            self._queue.append(message)
            self._queued += len(message)
            if self._queued >= QUEUE_BYTES or len(self._queue) >= QUEUE_MESSAGES:
                self.hold(QUEUE)
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    def ended(self) -> None:
        """See Connection."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Forward:
    """Where frames go."""

    __slots__ = ("_note", "_to")

    def __init__(self, to: Connection, note: Callable[[bytes], bool]) -> None:
        self._to = to
        self._note = note

    def frames(self, data: bytes, stop: int, frames: list[Frame]) -> bool:
        """Write text messages of a frame each, up to the first that is no UTF-8; whether there is none."""
        good = len(frames)
        for index, (_, _, body, end) in enumerate(frames):
            if not is_text(data[body:end]):
                good, stop = index, frames[index][1]
                break
        for index in range(good - 1, -1, -1):
            _, _, body, end = frames[index]
            if self._note(data[body:end]):
                break
        if stop:
            self._to.write(data if stop == len(data) else data[:stop])
        return good == len(frames)

    def message(self, message: bytes) -> None:
        """Write a message that came in pieces, or amid control frames."""
        self._note(message)
        self._to.write(frame(Op.TEXT, message, masked=False))


def _set(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
