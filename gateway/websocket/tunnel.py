"""Two connections as one: each peer's bytes go to the other as they come, masks, control frames and close included."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from gateway.websocket.connection import PEER, QUEUE, START, Connection
from gateway.websocket.frames import Breach
from gateway.websocket.pace import Pace
from gateway.websocket.walker import SLICE_FRAMES

GOING_AWAY: Final = 1001
TRY_AGAIN: Final = 1013
EARLY_BYTES: Final = 64 * 1024
"""Nothing more is read while more than this waits for `join`."""

BOUNDARY_SECONDS: Final = 2.0
"""How long the end of a frame is waited for before a connection is cut within it."""


class End(Connection):
    """One of the two. What it says before `join` is kept, a little of it; its loss is noticed."""

    __slots__ = ("leaving", "other")

    def __init__(self, *, server: bool, limit: int, pace: Pace, name: str) -> None:
        super().__init__(server=server, whole=False, limit=limit, pace=pace, name=name)
        self.other: End | None = None
        self.leaving: tuple[int, str] | None = None

    def begin(self, transport: asyncio.Transport, early: bytes = b"") -> None:
        """See Connection."""
        self._holds = START
        super().begin(transport, early)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        other = self.other
        if (
            other is None
            or other.leaving is not None
            or self._deaf
            or self._holds
            or self._rest
            or not self.walker.passes(data)
        ):
            self._weigh(data)
            return
        self.liveness.heard = True
        if not other.is_mute:
            other.transport.write(data)
        if wait := self._size.take(len(data)):
            self.slow_down(wait)

    def _weigh(self, data: bytes) -> None:
        """What is not just a message that goes through."""
        super().data_received(data)
        if self._holds & START and len(self._rest) > EARLY_BYTES:
            self.hold(QUEUE)

    def join(self, other: End) -> None:
        """Let each have what the other says, from now on."""
        for one, two in ((self, other), (other, self)):
            one.other = one.source = two
            if one.full:
                two.hold(PEER)
        for one in (self, other):
            one.release(START | QUEUE)

    def walked(self, data: bytes, stop: int) -> None:
        """See Connection."""
        other = self.other
        if other is None:  # it was refused: all that matters is its answer to our close
            if self.walker.closing:
                self._deaf = True
                self.transport.close()
            return
        other.write(data if stop == len(data) else data[:stop])
        if self.walker.at_boundary:
            if other.leaving is not None:
                self.most = SLICE_FRAMES
                other.finish(*other.leaving)
            if self.walker.closing:
                self._closed(other)

    def _closed(self, other: End) -> None:
        """The last that this peer says has gone to the other."""
        other.said_close()
        self._deaf = True
        if not self.has_said_close:
            self.loop.call_later(self.linger, self.cut)
            return
        self.transport.close()
        if other.walker.closing:
            other.transport.close()

    def leave(self, code: int, reason: str = "") -> None:
        """Close with this code, behind the frame that is on its way to the peer."""
        if self.other is None or self.at_boundary():
            self.finish(code, reason)
        else:
            self.leaving = code, reason
            self.other.most = 0
            self.loop.call_later(BOUNDARY_SECONDS, self._cut_within)

    def _cut_within(self) -> None:
        if not self.has_said_close:
            self.cut()

    def at_boundary(self) -> bool:
        return self.other is None or self.other.walker.at_boundary

    def ended(self) -> None:
        """See Connection: the other peer is told, unless it was by this one's close frame."""
        other = self.other
        if other is None or other.lost.done():
            return
        if other.has_said_close:
            other.transport.close()
        elif other.masks:
            other.leave(GOING_AWAY)
        elif not other.at_boundary():
            other.cut()
        else:
            other.finish(TRY_AGAIN, "the sandbox went away; connect again")

    def break_off(self, breach: Breach) -> None:
        """See Connection. Within a frame no close frame can be said."""
        if self.at_boundary():
            super().break_off(breach)
            return
        self.log_breach(breach)
        self._deaf = True
        self.cut()

    def ask(self) -> None:
        """See Connection."""
        if self.at_boundary():
            super().ask()


async def tunnel(browser: End, upstream: End, over: Coroutine[Any, Any, tuple[int, str]]) -> None:
    """Join the two until one of them ends, which ends the other, or it is `over`, which says with what close code and
    reason the browser is left."""
    browser.join(upstream)
    ending = asyncio.ensure_future(over)
    try:
        await asyncio.wait((browser.lost, upstream.lost, ending), return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            browser.leave(*ending.result())
            upstream.leave(GOING_AWAY)
        await browser.lost
    finally:
        ending.cancel()
        browser.cut()
        if not upstream.lost.done():
            upstream.leave(GOING_AWAY)
            await asyncio.wait((upstream.lost,), timeout=upstream.linger)
        upstream.cut()
