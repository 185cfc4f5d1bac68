"""One guarded connection: what of a request has come, since when, and what is said when that takes too long."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final, cast

from aiohttp import hdrs, web

from container.listener.guard import TICK_SECONDS, Guard
from container.listener.refusals import Refusal, answer, body_of

PARTING_SECONDS: Final = 1.0
PARTING_BYTES: Final = 256 * 1024
"""A client that is answered before it has sent everything: for so long, and so much, what it sends is thrown away
unread while it reads its answer. Closed at once it would be reset and never see it."""

UNSENT_BYTES: Final = 256 * 1024
"""So much waits in the kernel for a client that reads slowly, beside what is on its way; by itself it takes megabytes
for each that never reads."""


class Connection(web.RequestHandler):
    """One connection: what of a request has come, since when, and what is said when that takes too long."""

    __slots__ = (
        "_body",
        "_body_since",
        "_guard",
        "_head_since",
        "_parted",
        "_parting_bytes",
        "_parting_until",
        "_unread",
        "_unread_since",
        "_wire",
        "address",
        "head_bytes",
        "quiet_since",
        "vouched",
    )

    def __init__(self, guard: Guard, server: web.Server, **kwargs: Any) -> None:
        super().__init__(server, **kwargs)
        self._guard = guard
        self._wire: asyncio.Transport | None = None
        self._head_since: float | None = None
        self._body: Any = None
        self._body_since = 0.0
        self._parted: asyncio.Future[None] | None = None
        self._parting_bytes = 0
        self._parting_until = 0.0
        self._unread = 0
        self._unread_since = 0.0
        self.address = ""
        self.head_bytes = 0
        self.quiet_since = 0.0
        self.vouched = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refused before a byte is read, where there are too many."""
        self._wire = wire = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        _bound_unsent(wire)
        self._head_since = self.quiet_since = self._loop.time()
        refusal = self._guard.admit(self)
        if refusal is None:
            super().connection_made(transport)
            return
        self._guard.note(refusal, self.address)
        self._force_close = True
        wire.write(answer(refusal, self._guard.headers))
        if self._guard.part(self) and wire.can_write_eof():
            self._parting_until = self._loop.time() + PARTING_SECONDS
            wire.write_eof()
        else:
            wire.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget it."""
        self._guard.forget(self)
        if self._parted is not None and not self._parted.done():
            self._parted.set_result(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Know whether this is of a head or of a body; a WebSocket's own bytes are not looked at."""
        if self._force_close or self._close:
            self._parting_bytes += len(data)
            if self._parting_bytes > PARTING_BYTES:
                self._end_parting()
            return
        if self._payload_parser is not None or self._upgraded:
            super().data_received(data)
            return
        requests, in_body = self._request_count, self._body is not None and not self._body.is_eof()
        super().data_received(data)
        now = self._loop.time()
        self.quiet_since = now
        if self._request_count > requests:
            self._count_head(-self.head_bytes)
            self._head_since, self._body_since = None, now
            self._body = None
            if self._messages:
                head, self._body = self._messages[-1]
                if isinstance(error := getattr(head, "exc", None), Exception):
                    error.__traceback__ = (
                        None  # Its frames refer to it: what came would stay until a full collection.
                    )
        elif data and not in_body:
            self._head_since = self._head_since or now
            self._count_head(len(data))
            if self.head_bytes > self._guard.limits.head_bytes:
                if self.is_idle():
                    self._refuse(Refusal.LONG_HEAD)
                else:  # Sent behind a request whose answer is still being written: that is the last one here.
                    self._guard.note(Refusal.LONG_HEAD, self.address)
                    self.close()
            elif self._guard.unfinished_bytes > self._guard.limits.unfinished_bytes:
                self._refuse(Refusal.HEADS)

    def vouch(self) -> None:
        """Whoever is at the other end speaks for many: their number is not held against its address."""
        self._guard.vouch(self)

    def is_gone(self) -> bool:
        """Whether it has ended, also when another protocol has its transport and ended it."""
        return self._wire is None or self._wire.is_closing()

    def is_idle(self) -> bool:
        """Whether no whole request is being answered."""
        return self._waiter is not None and not self._upgraded

    def overdue(self, now: float) -> Refusal | None:
        """What it has taken too long for, if anything."""
        limits = self._guard.limits
        is_unread = self._is_unread(now)
        if self._parting_until:
            if now >= self._parting_until:
                self._end_parting()
        elif self._upgraded or self._close:
            pass
        elif is_unread:
            return Refusal.SLOW_READER
        elif self._head_since is not None:
            if not self.is_idle():  # It waits for the end of an answer, which may be a stream of hours.
                self._head_since = now
            elif now - self._head_since > limits.head_seconds:
                if self.head_bytes:
                    return Refusal.SLOW_HEAD
                self.force_close()  # A browser's in reserve: it would take an answer for one to what it asks later.
        elif limits.body_seconds and self._body is not None and not self._body.is_eof():
            if self._reading_paused:  # It is the handler who lets it wait.
                self._body_since += TICK_SECONDS
            if now - self._body_since > limits.body_seconds + self._body.total_bytes / limits.body_rate:
                return Refusal.SLOW_BODY
        return None

    def turn_away(self, refusal: Refusal) -> None:
        """Say why, unless an answer has begun already, and close."""
        if refusal is Refusal.SLOW_READER and self._wire is not None:
            self._wire.abort()  # An orderly end waits for what is still to be read, which is for ever.
            return
        request = self._current_request
        begun = request is not None and request.writer.output_size > 0
        if self._wire is not None and not begun:
            self._wire.write(answer(refusal, self._guard.headers))
        self.force_close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """An answer to a body that has not come whole is the connection's last."""
        whole = request.content.is_eof()
        if not whole and not resp.prepared:
            resp.force_close()
        done = await super().finish_response(request, resp, start_time)
        if not whole and not request.content.is_eof() and not self._upgraded:
            await self._part()
        return done

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP is counted, and told by the class of what was wrong: its bytes may hold a token."""
        if isinstance(exc, UnicodeEncodeError) and not request.headers.get(hdrs.EXPECT, "").isascii():
            status = HTTPStatus.BAD_REQUEST  # aiohttp quotes what it does not expect, if it can
        if status != HTTPStatus.BAD_REQUEST:
            return super().handle_error(request, status, exc, message)
        self._guard.note(Refusal.MALFORMED, self.address, type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun")
        response = web.Response(
            status=status,
            body=body_of(Refusal.MALFORMED),
            content_type="application/json",
            headers=self._guard.headers,
        )
        response.force_close()
        return response

    def _is_unread(self, now: float) -> bool:
        """Whether its client has taken nothing of what waits for it, for too long."""
        unread = self._wire.get_write_buffer_size() if self._wire is not None and self.writing_paused else 0
        if unread != self._unread or not unread:
            self._unread, self._unread_since = unread, now
        return 0 < self._guard.limits.answer_seconds < now - self._unread_since

    def _count_head(self, more: int) -> None:
        self.head_bytes += more
        self._guard.unfinished_bytes += more

    def _refuse(self, refusal: Refusal) -> None:
        self._guard.note(refusal, self.address)
        self.turn_away(refusal)

    async def _part(self) -> None:
        """Let the client read its answer; what it sends meanwhile is thrown away unread."""
        wire = self.transport
        if wire is None or wire.is_closing() or self._force_close:
            return
        self._close = True
        self._parted = self._loop.create_future()
        # A wire that ends meanwhile, or cannot be closed by half (TLS), is closed whole once the time is over.
        with suppress(RuntimeError, NotImplementedError):
            wire.write_eof()
            wire.resume_reading()
        with suppress(TimeoutError):
            async with asyncio.timeout(PARTING_SECONDS):
                await self._parted

    def _end_parting(self) -> None:
        if self._parted is not None:
            if not self._parted.done():
                self._parted.set_result(None)
        elif self._wire is not None:
            self._wire.close()


def _bound_unsent(wire: asyncio.Transport) -> None:
    sock = wire.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
