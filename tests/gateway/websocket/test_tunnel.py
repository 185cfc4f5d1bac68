"""Two connections as one: bytes pass as they are, and whatever ends one of them ends the other with a code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from gateway.websocket import connection, liveness, tunnel
from gateway.websocket.frames import Op, close_frame, frame
from gateway.websocket.pace import Pace
from gateway.websocket.tunnel import End
from tests.gateway.fakes import until
from tests.gateway.websocket.memory import MemoryTransport, frames_of

LIMIT = 100_000


@dataclass
class Two:
    browser: End
    upstream: End
    to_browser: MemoryTransport
    to_upstream: MemoryTransport
    over: asyncio.Event
    running: asyncio.Task[None]

    def closes(self) -> tuple[int | None, int | None]:
        """The codes of the close frames that each side got last."""
        codes: list[int | None] = []
        for transport, masked in ((self.to_browser, False), (self.to_upstream, True)):
            said = frames_of(bytes(transport.written), masked=masked)
            codes.append(int.from_bytes(said[-1][1][:2], "big") if said and said[-1][0] == Op.CLOSE else None)
        return codes[0], codes[1]


@asynccontextmanager
async def joined(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Two]:
    monkeypatch.setattr(connection, "SERVER_LINGER_SECONDS", 0.05)
    monkeypatch.setattr(connection, "CLIENT_LINGER_SECONDS", 0.05)
    monkeypatch.setattr(tunnel, "BOUNDARY_SECONDS", 0.05)
    browser = End(server=True, limit=LIMIT, pace=Pace(), name="browser")
    upstream = End(server=False, limit=LIMIT, pace=Pace(), name="upstream")
    transports = MemoryTransport(), MemoryTransport()
    browser.begin(transports[0], frame(Op.TEXT, b"early", masked=True))
    upstream.begin(transports[1])
    over = asyncio.Event()

    async def ending() -> tuple[int, str]:
        await over.wait()
        return 1001, ""

    running = asyncio.create_task(tunnel.tunnel(browser, upstream, ending()))
    await asyncio.sleep(0)
    assert frames_of(bytes(transports[1].written), masked=True) == [(Op.TEXT, b"early")]
    transports[1].written.clear()
    yield Two(browser, upstream, *transports, over, running)
    async with asyncio.timeout(10):
        await running
    assert browser.lost.done()
    assert upstream.lost.done()


async def test_bytes_pass_as_they_are_both_ways_in_any_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    up = b"".join(frame(Op.BINARY, b"u" * size, masked=True) for size in (0, 3, 200, 70_000))
    down = b"".join(frame(Op.TEXT, b"d" * size, masked=False) for size in (0, 3, 200, 70_000))
    async with joined(monkeypatch) as two:
        for piece in (1, 7, 1000, 100_000):
            for at in range(0, len(up), piece):
                two.browser.data_received(up[at : at + piece])
            for at in range(0, len(down), piece):
                two.upstream.data_received(down[at : at + piece])
        assert two.to_upstream.written == up * 4
        assert two.to_browser.written == down * 4
        two.to_browser.close()


async def test_pings_and_close_frames_pass_from_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ping, closing = frame(Op.PING, b"p", masked=True), close_frame(4000, "bye", masked=True)
    async with joined(monkeypatch) as two:
        two.browser.data_received(ping + closing + b"nothing more")
        assert two.to_upstream.written == ping + closing
        assert not two.to_browser.is_closing()
        answer = close_frame(4000, masked=False)
        two.upstream.data_received(answer)
        assert two.to_browser.written == answer
        assert two.to_browser.is_closing()
        assert two.to_upstream.is_closing()


async def test_a_close_that_is_not_answered_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with joined(monkeypatch) as two:
        two.browser.data_received(close_frame(1000, masked=True))
        await until(lambda: two.to_browser.ended and two.to_upstream.ended)


async def test_a_sandbox_that_goes_between_frames_is_told_with_1013(monkeypatch: pytest.MonkeyPatch) -> None:
    async with joined(monkeypatch) as two:
        two.upstream.data_received(frame(Op.TEXT, b"last", masked=False) + b"\x81")
        two.to_upstream.close()
        await until(lambda: two.closes()[0] is not None)
        assert two.closes()[0] == 1013


async def test_a_sandbox_that_goes_within_a_frame_cuts_the_browser_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with joined(monkeypatch) as two:
        half = frame(Op.TEXT, b"x" * 300, masked=False)[:100]
        two.upstream.data_received(half)
        two.to_upstream.close()
        await until(lambda: two.to_browser.ended)
        assert two.to_browser.written == half


async def test_a_browser_that_goes_is_told_with_1001(monkeypatch: pytest.MonkeyPatch) -> None:
    async with joined(monkeypatch) as two:
        two.to_browser.close()
        await until(lambda: two.to_upstream.ended)
        assert two.closes()[1] == 1001


async def test_a_drain_closes_both_behind_the_frames_on_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async with joined(monkeypatch) as two:
        whole = frame(Op.TEXT, b"x" * 300, masked=False)
        two.upstream.data_received(whole[:100])
        two.over.set()
        await until(lambda: two.to_upstream.written)
        assert two.to_browser.written == whole[:100]
        two.upstream.data_received(whole[100:] + whole)
        assert two.closes() == (1001, 1001)
        assert frames_of(bytes(two.to_browser.written))[0] == (Op.TEXT, b"x" * 300)
        two.browser.data_received(close_frame(1001, masked=True))
        assert two.to_browser.is_closing()


async def test_a_drain_finds_the_end_of_a_frame_in_a_flow_that_never_rests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with joined(monkeypatch) as two:
        whole = frame(Op.TEXT, b"x" * 300, masked=False)
        two.upstream.data_received(whole[:100])
        two.over.set()
        await until(lambda: two.to_upstream.written)
        two.upstream.data_received(whole[100:] + whole[:100])
        assert two.closes() == (1001, 1001)
        assert frames_of(bytes(two.to_browser.written))[0] == (Op.TEXT, b"x" * 300)
        two.upstream.data_received(whole[100:] + whole)
        two.browser.data_received(close_frame(1001, masked=True))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(Op.TEXT, b"x", masked=False), 1002),
        (b"\xf1\x80", 1002),
        (b"\x82\xff" + (LIMIT + 1).to_bytes(8, "big"), 1009),
    ],
)
async def test_a_browsers_breach_closes_it_with_its_code_and_the_sandbox_is_left(
    monkeypatch: pytest.MonkeyPatch, data: bytes, code: int
) -> None:
    async with joined(monkeypatch) as two:
        two.browser.data_received(frame(Op.TEXT, b"good", masked=True) + data)
        assert frames_of(bytes(two.to_upstream.written), masked=True)[0] == (Op.TEXT, b"good")
        assert two.closes() == (code, 1001)


async def test_a_sandboxes_breach_is_a_lost_sandbox_for_the_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    async with joined(monkeypatch) as two:
        two.upstream.data_received(frame(Op.TEXT, b"x", masked=True))
        assert two.closes() == (1013, 1002)


async def test_a_slow_peer_slows_the_other_down(monkeypatch: pytest.MonkeyPatch) -> None:
    async with joined(monkeypatch) as two:
        two.browser.pause_writing()
        assert not two.to_upstream.is_reading()
        assert two.to_browser.is_reading()
        two.browser.resume_writing()
        assert two.to_upstream.is_reading()
        two.upstream.pause_writing()
        assert not two.to_browser.is_reading()
        two.to_upstream.close()


async def test_one_that_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(liveness, "STALL_SECONDS", 0.05)
    async with joined(monkeypatch) as two:
        two.to_browser.waiting = 70_000
        two.browser.pause_writing()
        for _ in range(10):  # slow, but not gone
            two.to_browser.waiting -= 1
            await asyncio.sleep(0.02)
        assert not two.to_browser.is_closing()
        await until(lambda: two.to_browser.ended)


async def test_one_that_never_says_anything_is_asked_and_then_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "TICK_SECONDS", 0.01)
    async with joined(monkeypatch) as two:
        await until(lambda: two.to_browser.ended)
        assert (Op.PING, b"") in frames_of(bytes(two.to_browser.written))


async def test_no_ping_comes_within_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TICK_SECONDS", 0.01)
    async with joined(monkeypatch) as two:
        half = frame(Op.TEXT, b"x" * 300, masked=False)[:100]
        two.upstream.data_received(half)
        await until(lambda: two.to_browser.ended)
        assert two.to_browser.written == half


def alone() -> tuple[End, MemoryTransport]:
    """A browser whose sandbox is not there yet."""
    one, transport = End(server=True, limit=LIMIT, pace=Pace(), name="browser"), MemoryTransport()
    one.begin(transport)
    return one, transport


@pytest.mark.parametrize("together", [1, 3])
async def test_bytes_are_counted_however_many_messages_come_at_once(together: int) -> None:
    said = frame(Op.TEXT, b"x" * 200, masked=True)
    one, to_one = End(server=True, limit=LIMIT, pace=Pace(size=3000), name="browser"), MemoryTransport()
    other, to_other = End(server=False, limit=LIMIT, pace=Pace(), name="upstream"), MemoryTransport()
    one.begin(to_one)
    other.begin(to_other)
    one.join(other)
    sent = 0
    while to_one.is_reading():
        assert sent <= 10_000
        one.data_received(said * together)
        sent += len(said) * together
    assert sent > 3000
    assert len(to_other.written) == sent
    one.data_received(said)  # read already when it was told to rest: kept, and not passed
    assert len(to_other.written) == sent
    await until(to_one.is_reading)
    assert to_other.written == said * (sent // len(said) + 1)
    for transport in (to_one, to_other):
        transport.close()


async def test_little_is_kept_for_a_sandbox_that_is_not_there_yet() -> None:
    one, to_one = alone()
    said = frame(Op.BINARY, b"x" * 10_000, masked=True)
    sent = 0
    while to_one.is_reading():
        assert sent <= 100_000
        one.data_received(said)
        sent += len(said)
    assert sent > 60_000
    other, to_other = End(server=False, limit=LIMIT, pace=Pace(), name="upstream"), MemoryTransport()
    other.begin(to_other)
    one.join(other)
    assert len(to_other.written) == sent
    assert to_one.is_reading()
    for transport in (to_one, to_other):
        transport.close()


async def test_a_sandbox_that_is_full_at_the_join_is_not_written_to_without_end() -> None:
    one, to_one = alone()
    other, to_other = End(server=False, limit=LIMIT, pace=Pace(), name="upstream"), MemoryTransport()
    other.begin(to_other)
    other.pause_writing()
    one.join(other)
    assert not to_one.is_reading()
    other.resume_writing()
    assert to_one.is_reading()
    for transport in (to_one, to_other):
        transport.close()


async def test_a_browser_that_says_nothing_is_cut_off_before_its_sandbox_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "TICK_SECONDS", 0.01)
    one, transport = alone()
    assert transport.is_reading()
    await until(lambda: transport.ended, 5)
    assert (Op.PING, b"") in frames_of(bytes(transport.written))
    await one.lost


async def test_one_that_is_refused_is_gone_once_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    one, transport = alone()
    monkeypatch.setattr(one, "linger", 60.0)
    one.data_received(frame(Op.TEXT, b"for the sandbox", masked=True))
    closing = asyncio.create_task(one.close(4009, "quota-reached"))
    await asyncio.sleep(0)
    assert not transport.is_closing()
    one.data_received(close_frame(4009, masked=True))
    await asyncio.wait_for(closing, 5)
    assert one.lost.done()
