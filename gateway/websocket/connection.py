"""One WebSocket connection behind its handshake: bytes in at a bounded pace, bytes out with backpressure, its end."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable
from typing import Final

from gateway.websocket.frames import Breach, Code, Op, close_frame, frame
from gateway.websocket.liveness import TICK_SECONDS, Liveness, Sign
from gateway.websocket.pace import Bucket, Pace
from gateway.websocket.walker import SLICE_FRAMES, Walker

log = logging.getLogger(__name__)

SERVER_LINGER_SECONDS: Final = 10.0
CLIENT_LINGER_SECONDS: Final = 2.0
"""How long the peer's own close is waited for behind ours, once ours is out: a reset would overtake it."""

PEER: Final = 1
PACE: Final = 2
SLICE: Final = 4
QUEUE: Final = 8
"""Why nothing is read at the moment; reading goes on once no reason is left."""

START: Final = 16
"""Why what is read is only kept: a loss shows only where something is read."""


class Connection(asyncio.Protocol):
    """A peer. `begin` hands it its transport; `walked` gets what is in order; `ended` is told once, at the end of what
    the peer says: its close frame, a breach, the loss of the connection.

    `server`: whether we are the server, so that the peer must mask its frames and we must not. `name` is for the log.
    """

    __slots__ = (
        "_deaf",
        "_drained",
        "_frames",
        "_holds",
        "_hollow",
        "_rest",
        "_size",
        "_ticker",
        "close_code",
        "full",
        "has_said_close",
        "is_ended",
        "is_mute",
        "linger",
        "liveness",
        "loop",
        "lost",
        "masks",
        "most",
        "name",
        "on_lost",
        "source",
        "transport",
        "walker",
    )

    def __init__(self, *, server: bool, whole: bool, limit: int, pace: Pace, name: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport
        self.walker = Walker(masked=server, whole=whole, limit=limit)
        self.masks = not server
        self.most = SLICE_FRAMES
        """Frames that are walked at once; with 0 what is walked ends with the one that was begun."""
        self.linger = SERVER_LINGER_SECONDS if server else CLIENT_LINGER_SECONDS
        self.name = name
        self.lost: asyncio.Future[None] = self.loop.create_future()
        self.full = False
        """Whether so much waits for the peer that no more should be written."""
        self.source: Connection | None = None
        """Whose reading rests while this one is full."""
        self.close_code: int | None = None
        """What the peer closed with, or what we close a breach with; None when the connection was just lost."""
        self.is_ended = False
        self.has_said_close = False
        self.is_mute = False
        """Whether nothing more can be said: our close is out, or the connection is lost."""
        self.on_lost: Callable[[Exception | None], None] | None = None
        clock = self.loop.time
        self._frames = Bucket(pace.frames, pace.frames, clock)
        self._size = Bucket(pace.size, pace.size, clock)
        self._hollow = Bucket(pace.hollow / 10, pace.hollow, clock)
        self._rest = bytearray()
        self._holds = 0
        self._deaf = False
        self._drained: asyncio.Future[None] | None = None
        self.liveness = Liveness(clock())
        self._ticker: asyncio.TimerHandle | None = None

    @abstractmethod
    def walked(self, data: bytes, stop: int) -> None:
        """Take `data` up to `stop`, which was walked just now."""

    @abstractmethod
    def ended(self) -> None:
        """The peer says nothing more; `close_code` says why."""

    def begin(self, transport: asyncio.Transport, early: bytes = b"") -> None:
        """Take the transport over; `early` came right behind the handshake."""
        self.transport = transport
        transport.set_protocol(self)
        self._ticker = self.loop.call_later(TICK_SECONDS, self._tick)
        if early:
            self.data_received(early)
        self._read_on()

    # -- in --
    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self.liveness.heard = True
        if self._deaf:
            return
        rest = self._rest
        if rest or self._holds:
            rest += data
            if self._holds or len(rest) < self.walker.need:
                return
            data = bytes(rest)
            rest.clear()
        self._take(data)

    def _take(self, data: bytes) -> None:
        walker = self.walker
        stop = walker.walk(data, self.most)
        if stop:
            self.walked(data, stop)
        wait = self._size.take(stop)
        if walker.small:
            wait = max(wait, self._frames.take(walker.small))
            walker.small = 0
            if walker.hollow:
                if self._hollow.take(walker.hollow) and walker.breach is None:
                    walker.breach = Breach(Code.POLICY, "control or empty frames without end")
                walker.hollow = 0
        if walker.breach is not None:
            self.break_off(walker.breach)
            return
        if stop < len(data) and not walker.closing and not self._deaf:
            self._rest += data[stop:] if stop else data
            if len(self._rest) >= walker.need:
                self.hold(SLICE)
                self.loop.call_soon(self.release, SLICE)
        if wait:
            self.slow_down(wait)

    def slow_down(self, seconds: float) -> None:
        """Read nothing for so long: the peer is ahead of its pace."""
        self.hold(PACE)
        self.loop.call_later(seconds, self.release, PACE)

    def hold(self, reason: int) -> None:
        """Read nothing for the time being."""
        if not (self._holds & ~START or self.lost.done() or self.transport.is_closing()):
            self.transport.pause_reading()
        self._holds |= reason

    def release(self, reason: int) -> None:
        """Read on, when nothing else stands against it."""
        if not self._holds & reason:
            return
        self._holds &= ~reason
        if self._holds or self.lost.done():
            return
        self.liveness.heard = True
        rest = self._rest
        if rest and len(rest) >= self.walker.need and not self._deaf:
            data = bytes(rest)
            rest.clear()
            self._take(data)
        self._read_on()

    def _read_on(self) -> None:
        if not (self._holds & ~START or self.transport.is_closing()):
            self.transport.resume_reading()

    def eof_received(self) -> None:
        """See asyncio.Protocol: the transport closes by itself."""
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.is_mute = True
        if self._ticker is not None:
            self._ticker.cancel()
        if not self.lost.done():
            self.lost.set_result(None)
        self._wake()
        if self.source is not None:
            self.source.release(PEER)
        self._end()
        if self.on_lost is not None:
            self.on_lost(exc)

    def _end(self) -> None:
        if not self.is_ended:
            self.is_ended = True
            self.ended()

    # -- out --
    def write(self, data: bytes) -> None:
        """Send whole frames, or a part of what makes up whole ones. What is said behind our close is dropped."""
        if not self.is_mute:
            self.transport.write(data)

    def said_close(self) -> None:
        """A close frame went to the peer: nothing follows it."""
        self.has_said_close = self.is_mute = True

    async def send(self, data: bytes) -> None:
        """`write`, and wait while the peer is slow. Raises ConnectionResetError once it is gone."""
        if self.is_mute or self.transport.is_closing():
            raise ConnectionResetError("the connection has ended")
        self.transport.write(data)
        while self.full:
            if self._drained is None:
                self._drained = self.loop.create_future()
            await asyncio.shield(self._drained)
            if self.lost.done():
                raise ConnectionResetError("the connection has ended")

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self.full = True
        self.liveness.fill(self.transport.get_write_buffer_size(), self.loop.time())
        if self.source is not None:
            self.source.hold(PEER)

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self.full = False
        self._wake()
        if self.source is not None:
            self.source.release(PEER)

    def _wake(self) -> None:
        waiter, self._drained = self._drained, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # -- the end --
    def break_off(self, breach: Breach) -> None:
        """End a connection whose peer broke the rules: the close frame, then nothing more, and deaf ears."""
        self.log_breach(breach)
        self.close_code = breach.code
        self.linger = CLIENT_LINGER_SECONDS
        self.finish(breach.code)
        self._deaf = True
        self._rest.clear()
        if not (self.lost.done() or self.transport.is_closing()):
            try:
                self.transport.write_eof()
            except OSError:  # the peer has gone already
                self.cut()
        self._end()

    def log_breach(self, breach: Breach) -> None:
        """Say the class of a breach, never what the peer sent."""
        log.info("%s: closed with %d: %s", self.name, breach.code, breach.why)

    def finish(self, code: int, reason: str = "") -> None:
        """Say close, which is the last that is said, and listen for a short time for the peer's own."""
        if self.is_mute:
            return
        self.transport.write(close_frame(code, reason, masked=self.masks))
        self.said_close()
        self.release(PEER | QUEUE | START)
        self.loop.call_later(self.linger, self._cut_when_sent)

    def closed_by_peer(self, code: int | None) -> None:
        """The peer's close frame came: answer it, and end the connection once the answer is out."""
        self.close_code = code if code is not None else 1005
        self._deaf = True
        if self.lost.done():
            self._end()
            return
        if not self.has_said_close:
            self.transport.write(close_frame(code or 1000, masked=self.masks))
            self.said_close()
        self._end()
        if not self.masks or self.transport.is_closing():
            self.transport.close()
        else:
            self.loop.call_later(self.linger, self.cut)  # the server ends the connection (section 7.1.1)

    def _cut_when_sent(self) -> None:
        if not self.lost.done() and self.transport.get_write_buffer_size():
            self.loop.call_later(self.linger, self._cut_when_sent)  # `_tick` ends one that takes nothing
        else:
            self.cut()

    def cut(self) -> None:
        """End the connection, whatever waits."""
        if not self.lost.done():
            self.transport.abort()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """`finish`, and wait until the connection is gone; a peer that reads slowly may take its time."""
        self.finish(code, reason)
        if not self.lost.done():
            await asyncio.wait((self.lost,), timeout=self.linger)

    # -- whether anybody is there --
    def _tick(self) -> None:
        self._ticker = self.loop.call_later(TICK_SECONDS, self._tick)
        sign = self.liveness.tick(
            self.transport.get_write_buffer_size(),
            self.loop.time(),
            full=self.full,
            closing=self.has_said_close,
            unread=bool(self._holds & ~START),
        )
        if sign is Sign.ASK:
            self.ask()
        elif sign is not Sign.WELL:
            log.info("%s: %s, cut off", self.name, sign.value)
            self.cut()

    def ask(self) -> None:
        """Ask the peer for a sign of life."""
        self.write(frame(Op.PING, b"", masked=self.masks))
