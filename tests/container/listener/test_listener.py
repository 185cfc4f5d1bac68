"""The guarded listener over real sockets: what is too slow, long, many or no HTTP is turned away, and counted."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from aiohttp import web

from container.listener import connection as connection_module
from container.listener import guard as guard_module
from container.listener.connection import PARTING_BYTES, Connection
from container.listener.refusals import Limits, Refusal, encoding_of
from container.listener.runner import Listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable

SECONDS = 30.0
LONG_BYTES = 32 * 1024 * 1024  # more than what the kernel takes for a peer that does not read
GET = b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "TICK_SECONDS", 0.02)


class Peer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case, body of the next answer."""
        async with asyncio.timeout(SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(first.split(" ", 2)[1]), headers, body

    async def pour(self, chunks: Iterable[bytes], pause: float = 0.0) -> int:
        """How many bytes of `chunks` could be sent until the connection broke."""
        sent = 0
        async with asyncio.timeout(SECONDS):
            try:
                for chunk in chunks:
                    await self.send(chunk)
                    sent += len(chunk)
                    await asyncio.sleep(pause)
            except ConnectionError:
                pass
        return sent

    async def rest(self) -> bytes:
        """What comes up to the end."""
        async with asyncio.timeout(SECONDS):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


class Bench:
    """A listener with routes: one that looks at no body, one that reads it, a WebSocket that echoes, a slow stream."""

    def __init__(self, stack: AsyncExitStack, **limits: Any) -> None:
        self.turned_away: Counter[str] = Counter()
        self.read: list[bytes] = []
        app = web.Application()
        app.router.add_route("*", "/ok", self._ok)
        app.router.add_post("/read", self._read)
        app.router.add_get("/ws", self._ws)
        app.router.add_get("/vouch", self._vouch)
        app.router.add_get("/stream", self._stream)
        app.router.add_get("/long", self._long)
        self.listener = Listener(
            app, Limits(**limits), turned_away=self.turned_away, headers={"X-Own": "1"}, access_log=None,
            handler_cancellation=True, shutdown_timeout=1.0,
        )  # fmt: skip
        self._stack = stack

    async def start(self) -> None:
        await self.listener.setup()
        self._stack.push_async_callback(self.listener.cleanup)
        await web.TCPSite(self.listener, "127.0.0.1", 0).start()

    async def dial(self, address: str = "127.0.0.1") -> Peer:
        port = self.listener.addresses[0][1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        self._stack.callback(writer.close)
        return Peer(reader, writer)

    async def _ok(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _read(self, request: web.Request) -> web.Response:
        self.read.append(await request.read())
        return web.Response(text="read")

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    async def _vouch(self, request: web.Request) -> web.Response:
        assert isinstance(request.protocol, Connection)
        request.protocol.vouch()
        return web.Response(text="vouched")

    async def _long(self, _: web.Request) -> web.Response:
        return web.Response(body=b"x" * LONG_BYTES)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "20"})
        await response.prepare(request)
        for _ in range(20):
            await response.write(b"x")
            await asyncio.sleep(0.03)
        return response


@asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        bench = Bench(stack, **limits)
        await bench.start()
        yield bench


async def test_a_head_that_takes_too_long_is_told_and_cut_off() -> None:
    async with serving(head_seconds=0.2) as bench:
        peer = await bench.dial()
        await peer.send(b"GET /ok HT")
        status, headers, body = await peer.answer()
        assert (status, json.loads(body)["code"], headers["x-own"]) == (408, "request-timeout", "1")
        assert await peer.rest() == b""
        assert bench.turned_away == {Refusal.SLOW_HEAD: 1}


async def test_a_byte_now_and_then_buys_no_time() -> None:
    async with serving(head_seconds=0.3) as bench:
        peer = await bench.dial()
        head = b"GET /ok HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 10_000
        assert await peer.pour((bytes([letter]) for letter in head), pause=0.02) < len(head)
        assert bench.turned_away == {Refusal.SLOW_HEAD: 1}


async def test_the_second_request_of_a_connection_has_the_same_time_for_its_head() -> None:
    async with serving(head_seconds=0.2) as bench:
        peer = await bench.dial()
        await peer.send(GET)
        assert (await peer.answer())[0] == 200
        await asyncio.sleep(0.4)  # between requests it may be quiet for longer
        await peer.send(GET + b"GET /o")
        assert (await peer.answer())[0] == 200
        await peer.send(b"k HT")
        assert (await peer.answer())[0] == 408


@pytest.mark.parametrize("behind", [b"\r\n", b"GET /ok HT"])
async def test_bytes_behind_a_request_do_not_end_its_answer(behind: bytes) -> None:
    async with serving(head_seconds=0.2) as bench:
        peer = await bench.dial()
        await peer.send(GET.replace(b"/ok", b"/stream"))
        await asyncio.sleep(0.05)
        await peer.send(behind)
        assert (await peer.answer())[::2] == (200, b"x" * 20)
        assert bench.turned_away == {}
        assert (await peer.answer())[0] == 408  # from the answer's end on, they have the usual time
        assert bench.turned_away == {Refusal.SLOW_HEAD: 1}


async def test_a_long_head_behind_a_request_lets_it_be_the_last() -> None:
    async with serving(head_bytes=10_000) as bench:
        peer = await bench.dial()
        await peer.send(GET.replace(b"/ok", b"/stream"))
        await asyncio.sleep(0.05)
        await peer.send(GET[:-2] + b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(12)))
        assert (await peer.answer())[::2] == (200, b"x" * 20)
        assert await peer.rest() == b""
        assert bench.turned_away == {Refusal.LONG_HEAD: 1}


@pytest.mark.parametrize("first", [b"", GET])
async def test_a_quiet_connection_is_closed_without_a_word(first: bytes) -> None:
    async with serving(head_seconds=0.2, idle_seconds=0.2) as bench:
        peer = await bench.dial()
        if first:
            await peer.send(first)
            assert (await peer.answer())[0] == 200
        assert await peer.rest() == b""
        assert bench.turned_away == {}


async def test_a_body_that_comes_too_slowly_is_told_and_cut_off() -> None:
    async with serving(body_seconds=0.3, body_rate=1000) as bench:
        peer = await bench.dial()
        await peer.send(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"a" * 100)
        status, _, body = await peer.answer()
        assert (status, json.loads(body)["code"]) == (408, "request-timeout")
        assert bench.turned_away == {Refusal.SLOW_BODY: 1}
        assert bench.read == []


@pytest.mark.parametrize("requests", [1, 3])
async def test_who_takes_nothing_of_an_answer_is_cut_off(requests: int) -> None:
    async with serving(answer_seconds=0.3) as bench:
        peer = await bench.dial()
        await peer.send(GET.replace(b"/ok", b"/long") * requests)
        async with asyncio.timeout(SECONDS):
            while not bench.turned_away:
                await asyncio.sleep(0.05)
        assert bench.turned_away == {Refusal.SLOW_READER: 1}
        assert len(await peer.rest()) < LONG_BYTES


async def test_who_reads_slowly_gets_the_whole_answer() -> None:
    async with serving(answer_seconds=1.0) as bench:
        peer = await bench.dial()
        await peer.send(GET.replace(b"/ok", b"/long"))
        came = 0
        async with asyncio.timeout(SECONDS):
            while came < LONG_BYTES:
                data = await peer.reader.read(1024 * 1024)
                assert data
                came += len(data)
                await asyncio.sleep(0.01)  # a hundred times and more: longer than that in all
        assert bench.turned_away == {}


async def test_a_large_body_has_time_by_its_size() -> None:
    async with serving(body_seconds=0.1, body_rate=10_000) as bench:
        peer = await bench.dial()
        await peer.send(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 12000\r\n\r\n")
        for _ in range(12):
            await peer.send(b"a" * 1000)
            await asyncio.sleep(0.04)  # 0.5 s in all: five times what a body without size has
        assert (await peer.answer())[0] == 200
        assert bench.read == [b"a" * 12000]


async def test_the_end_of_a_body_is_not_taken_for_a_head() -> None:
    async with serving(head_bytes=10_000) as bench:
        peer = await bench.dial()
        for _ in range(3):
            await peer.send(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n")
            await asyncio.sleep(0.05)
            await peer.send(b"a" * 200_000)
            assert (await peer.answer())[0] == 200


async def test_heads_are_bounded_each_and_together() -> None:
    async with serving(head_bytes=10_000, unfinished_bytes=25_000) as bench:
        peer = await bench.dial()
        lines = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(12))
        await peer.send(b"GET /ok HTTP/1.1\r\nHost: x\r\n" + lines[:9000])
        await asyncio.sleep(0.1)
        await peer.send(lines[9000:])
        status, _, body = await peer.answer()
        assert (status, json.loads(body)["code"]) == (431, "head-too-large")
        many = [await bench.dial() for _ in range(4)]
        for one in many:
            await one.send(b"GET /ok HTTP/1.1\r\nHost: x\r\n" + lines[:8000])
        status, headers, body = await many[-1].answer()
        assert (status, json.loads(body)["code"], headers["retry-after"]) == (503, "overloaded", "1")
        assert bench.turned_away == {Refusal.LONG_HEAD: 1, Refusal.HEADS: 1}
        # What is given up is not held against the next ones.
        for one in many:
            one.writer.transport.abort()
        await asyncio.sleep(0.2)
        good = await bench.dial()
        await good.send(GET)
        assert (await good.answer())[0] == 200


async def test_an_address_has_so_many_connections_unless_it_is_vouched_for() -> None:
    async with serving(per_address=3) as bench:
        many = [await bench.dial() for _ in range(3)]
        await many[-1].send(GET)
        assert (await many[-1].answer())[0] == 200
        refused = await bench.dial()
        status, headers, body = await refused.answer()
        assert (status, json.loads(body)["code"]) == (429, "too-many-connections")
        assert headers["retry-after"] == "1"
        for peer in many:
            await peer.send(GET.replace(b"/ok", b"/vouch"))
            assert (await peer.answer())[0] == 200
        assert bench.turned_away == {Refusal.ADDRESS: 1}
        more = [await bench.dial() for _ in range(3)]
        await more[-1].send(GET)
        assert (await more[-1].answer())[0] == 200
        more[0].writer.close()
        await asyncio.sleep(0.1)
        again = await bench.dial()
        await again.send(GET)
        assert (await again.answer())[0] == 200


async def test_an_address_that_was_vouched_for_may_come_back_all_at_once() -> None:
    async with serving(per_address=3) as bench:
        for _ in range(2):  # while the one that vouched is open, and after it has gone
            first = await bench.dial()
            await first.send(GET.replace(b"/ok", b"/vouch"))
            assert (await first.answer())[0] == 200
            many = [await bench.dial() for _ in range(20)]
            first.writer.close()
            await asyncio.sleep(0.1)
            many += [await bench.dial() for _ in range(20)]
            for peer in many:
                await peer.send(GET)
                assert (await peer.answer())[0] == 200
        assert bench.turned_away == {}


async def test_an_address_is_counted_again_when_nobody_has_vouched_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guard_module, "VOUCHED_SECONDS", 0.2)
    async with serving(per_address=3) as bench:
        first = await bench.dial()
        await first.send(GET.replace(b"/ok", b"/vouch"))
        assert (await first.answer())[0] == 200
        first.writer.close()
        await asyncio.sleep(0.5)
        many = [await bench.dial() for _ in range(4)]
        assert (await many[-1].answer())[0] == 429
        assert bench.turned_away == {Refusal.ADDRESS: 1}


async def test_who_is_vouched_for_at_one_address_is_not_at_another() -> None:
    async with serving(per_address=3) as bench:
        first = await bench.dial()
        await first.send(GET.replace(b"/ok", b"/vouch"))
        assert (await first.answer())[0] == 200
        many = [await bench.dial("127.0.0.2") for _ in range(4)]
        assert (await many[-1].answer())[0] == 429
        assert bench.turned_away == {Refusal.ADDRESS: 1}


async def test_idle_connections_make_room_and_busy_ones_do_not() -> None:
    async with serving(connections=3) as bench:
        idle = [await bench.dial() for _ in range(3)]
        await asyncio.sleep(0.05)
        socket = await bench.dial()
        await socket.send(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert (await socket.answer())[0] == 101
        for peer in idle:
            assert await peer.rest() == b""
        busy = [await bench.dial() for _ in range(2)]
        for peer in busy:
            await peer.send(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1")
        await asyncio.sleep(0.1)
        status, headers, body = await (await bench.dial()).answer()
        assert (status, json.loads(body)["code"], headers["retry-after"]) == (503, "overloaded", "1")
        assert bench.turned_away == {Refusal.CONNECTIONS: 1}


async def test_a_websocket_lives_on_past_every_deadline() -> None:
    async with serving(head_seconds=0.1, idle_seconds=0.1, body_seconds=0.1) as bench:
        peer = await bench.dial()
        await peer.send(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert (await peer.answer())[0] == 101
        await asyncio.sleep(0.5)
        await peer.send(b"\x81\x82\0\0\0\0hi")
        assert await peer.reader.readexactly(4) == b"\x81\x02hi"


async def test_who_is_answered_early_reads_why_and_is_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "PARTING_SECONDS", 30.0)
    async with serving() as bench:
        peer = await bench.dial()
        size = 64 * 1024 * 1024
        await peer.send(b"POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + b"a" * 1000)
        status, headers, _ = await peer.answer()
        assert (status, headers["connection"]) == (200, "close")
        sent = await peer.pour(b"a" * 65536 for _ in range(size // 65536))
        assert PARTING_BYTES <= sent < size


async def test_a_bomb_is_not_unpacked() -> None:
    async with serving() as bench:
        peer = await bench.dial()
        bomb = gzip.compress(b"\0" * 1_000_000)
        head = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
        await peer.send(head % len(bomb) + bomb)
        assert (await peer.answer())[0] == 200
        assert bench.read == [bomb]


@pytest.mark.parametrize(
    "said",
    [
        b"swordfish\r\n\r\n",
        b"GET /ok HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer swordfish\0\r\n\r\n",
        b"GET /ok HTTP/1.1\r\nHost: x\r\nX: swordfish" + b"a" * 9000 + b"\r\n\r\n",
        b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, swordfish\r\n\r\n",
        b"GET /ok HTTP/1.1\r\nHost: x\r\nExpect: swordfish\xff\r\n\r\n",
    ],
    ids=["no request", "a NUL", "a long header", "an odd coding", "an expectation that is no text"],
)
async def test_what_is_no_http_is_one_line_without_its_bytes(
    said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as bench:
        for _ in range(20):
            peer = await bench.dial()
            await peer.send(said)
            status, headers, body = await peer.answer()
            assert (status, json.loads(body)["code"], headers["x-own"]) == (400, "bad-request", "1")
            assert b"swordfish" not in body
        assert bench.turned_away == {Refusal.MALFORMED: 20}
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 1
    assert "127.0.0.1" in lines[0].getMessage()
    assert lines[0].exc_info is None
    assert not any("swordfish" in record.getMessage() for record in caplog.records)


async def test_a_flood_is_counted_in_the_next_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_module, "TOLD_SECONDS", 0.5)
    async with serving() as bench:
        for _ in range(5):
            peer = await bench.dial()
            await peer.send(b"nonsense\r\n\r\n")
            await peer.answer()
        await asyncio.sleep(1.0)
        told = [record.getMessage() for record in caplog.records if "turned away" in record.getMessage()]
        assert len(told) == 2
        assert told[1] == "turned away: malformed, 4 more since the last line"
        assert bench.turned_away[Refusal.MALFORMED] == 5


async def test_the_encoding_of_a_request() -> None:
    seen: list[str] = []

    async def note(request: web.Request) -> web.Response:
        seen.append(encoding_of(request))
        return web.Response()

    async with serving() as bench:
        bench.listener.app.router._frozen = False
        bench.listener.app.router.add_get("/note", note)
        peer = await bench.dial()
        gzip_, both = b"Content-Encoding: GZip\r\n", b"Content-Encoding: a\r\nContent-Encoding: b\r\n"
        for named in (b"", b"Content-Encoding: Identity\r\n", gzip_, both):
            await peer.send(b"GET /note HTTP/1.1\r\nHost: x\r\n" + named + b"\r\n")
            assert (await peer.answer())[0] == 200
    assert seen == ["", "", "gzip", "a,b"]


@pytest.mark.parametrize(
    "test",
    [
        test_a_head_that_takes_too_long_is_told_and_cut_off,
        test_a_body_that_comes_too_slowly_is_told_and_cut_off,
        test_heads_are_bounded_each_and_together,
        test_an_address_has_so_many_connections_unless_it_is_vouched_for,
        test_an_address_that_was_vouched_for_may_come_back_all_at_once,
        test_idle_connections_make_room_and_busy_ones_do_not,
        test_a_websocket_lives_on_past_every_deadline,
        test_the_end_of_a_body_is_not_taken_for_a_head,
    ],
)
def test_on_the_gateways_loop_too(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test())
