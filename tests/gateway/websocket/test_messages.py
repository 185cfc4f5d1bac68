"""Messages are taken whole, one by one; what is not in order ends the connection with the right code."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.websocket import connection, liveness
from gateway.websocket.frames import Op, close_frame, frame
from gateway.websocket.messages import Binary, Messages
from gateway.websocket.pace import Bucket, Pace
from tests.gateway.websocket.memory import MemoryTransport, feed, frames_of, texts_of


@pytest.fixture(autouse=True)
def _short_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SERVER_LINGER_SECONDS", 0.05)
    monkeypatch.setattr(connection, "CLIENT_LINGER_SECONDS", 0.05)


def opened(*, server: bool = False, limit: int = 100_000, **options: Any) -> tuple[Messages, MemoryTransport]:
    one, transport = (
        Messages(server=server, limit=limit, pace=Pace(), name="one", **options),
        MemoryTransport(),
    )
    one.begin(transport)
    return one, transport


def text(payload: bytes, *, masked: bool = False) -> bytes:
    return frame(Op.TEXT, payload, masked=masked)


@pytest.mark.parametrize("server", [True, False])
async def test_messages_come_in_order_and_then_the_end(server: bool) -> None:
    one, transport = opened(server=server, binary=True)
    said = b"".join(text(b"%d" % number, masked=server) for number in range(5))
    said += frame(Op.BINARY, b"\xff", masked=server) + close_frame(1000, masked=server)
    await feed(one, transport, said, 3)
    found = [message async for message in one]
    assert found == [b"0", b"1", b"2", b"3", b"4", b"\xff"]
    assert isinstance(found[-1], Binary)
    assert one.close_code == 1000
    assert await one.receive() is None
    assert frames_of(bytes(transport.written), masked=not server)[-1][0] == Op.CLOSE
    await one.close()
    assert one.lost.done()


async def test_a_message_is_waited_for_no_longer_than_asked() -> None:
    one, transport = opened()
    with pytest.raises(TimeoutError):
        await one.receive(0.01)
    with pytest.raises(TimeoutError):
        await one.receive(0)
    one.data_received(text(b"here"))
    assert await one.receive(0) == b"here"
    waiting = asyncio.create_task(one.receive(30))
    await asyncio.sleep(0)
    one.data_received(text(b""))
    assert await waiting == b""
    transport.close()
    assert await one.receive(30) is None
    assert one.close_code is None


async def test_nothing_more_is_read_while_nobody_takes_it() -> None:
    one, transport = opened()
    said = text(b"x" * 10_000) * 20
    feeding = asyncio.create_task(feed(one, transport, said, 10_000))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not transport.is_reading()
    assert len(one._queue) < 10
    found = [await one.receive(5) for _ in range(20)]
    assert found == [b"x" * 10_000] * 20
    await feeding
    transport.close()


async def test_a_close_is_answered_when_what_came_before_it_has_been_taken() -> None:
    one, transport = opened(server=True)
    one.data_received(text(b"stop", masked=True) + close_frame(1000, masked=True))
    assert await one.receive() == b"stop"
    assert not transport.written
    await one.send_text(b"stopped")
    assert await one.receive() is None
    assert [op for op, _ in frames_of(bytes(transport.written))] == [Op.TEXT, Op.CLOSE]
    assert one.close_code == 1000
    assert transport.is_closing()


async def test_fragments_are_one_message_and_pings_between_them_are_answered() -> None:
    one, transport = opened()
    one.data_received(b"\x01\x02\xc3\xa9" + frame(Op.PING, b"there?", masked=False) + b"\x80\x01!")
    assert await one.receive(1) == "é!".encode()
    assert frames_of(bytes(transport.written), masked=True) == [(Op.PONG, b"there?")]
    transport.close()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (text(b"\xc3\x28"), 1007),
        (b"\x01\x01\xc3" + b"\x80\x01\x28", 1007),
        (frame(Op.BINARY, b"x", masked=False), 1003),
        (text(b"x", masked=True), 1002),
        (b"\x88\x01\x03", 1002),
        (b"\x88\x04\x03\xe8\xc3\x28", 1007),
        (b"\x81\x7f" + (100_001).to_bytes(8, "big"), 1009),
        (text(b"x") * 5, 1008),
    ],
    ids=["utf-8", "utf-8 in pieces", "binary", "masked", "half a code", "reason", "too long", "too many"],
)
async def test_a_breach_is_closed_with_its_code_behind_what_was_in_order(data: bytes, code: int) -> None:
    budget = Bucket(0.001, 5, asyncio.get_running_loop().time)
    one, transport = opened(budget=budget)
    one.data_received(text(b"good") + data + text(b"never"))
    assert await one.receive(1) == b"good"
    while (message := await one.receive(1)) is not None:
        assert message == b"x"
    assert one.close_code == code
    op, payload = frames_of(bytes(transport.written), masked=True)[-1]
    assert (op, int.from_bytes(payload, "big")) == (Op.CLOSE, code)
    await asyncio.wait_for(one.lost, 5)


async def test_frames_are_forwarded_as_they_are_and_whole() -> None:
    one, transport = opened()
    other, onward = opened(server=True)
    noted: list[bytes] = []

    def note(message: bytes) -> bool:
        noted.append(message)
        return b"seq" in message

    one.data_received(text(b"seq before"))
    forwarding = asyncio.create_task(one.forward(other, note))
    await asyncio.sleep(0)
    assert texts_of(bytes(onward.written)) == [b"seq before"]
    plain = text(b"seq 1") + text(b"seq 2") + text(b"about")
    one.data_received(plain + text(b"seq 3")[:5])
    assert onward.written.endswith(plain)
    assert noted == [b"seq before", b"about", b"seq 2"]
    await other.send_text(b"between")
    one.data_received(text(b"seq 3")[5:] + frame(Op.PING, b"", masked=False) + b"\x01\x01a\x80\x01b")
    assert texts_of(bytes(onward.written))[-3:] == [b"between", b"seq 3", b"ab"]
    other.pause_writing()
    assert not transport.is_reading()
    other.resume_writing()
    assert transport.is_reading()
    one.data_received(text(b"good") + text(b"\xc3\x28") + text(b"never"))
    await asyncio.wait_for(forwarding, 5)
    assert texts_of(bytes(onward.written))[-1] == b"good"
    assert one.close_code == 1007
    onward.close()


async def test_forwarding_ends_with_the_reader() -> None:
    one, transport = opened()
    other, onward = opened(server=True)
    forwarding = asyncio.create_task(one.forward(other, lambda _: True))
    await asyncio.sleep(0)
    onward.close()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(forwarding, 5)
    transport.close()


async def test_what_is_sent_waits_for_a_slow_peer_and_fails_when_it_goes() -> None:
    one, transport = opened()
    one.pause_writing()
    sending = asyncio.create_task(one.send_json({"type": "recorded", "seq": 1}))
    await asyncio.sleep(0)
    assert not sending.done()
    one.resume_writing()
    await sending
    assert frames_of(bytes(transport.written), masked=True) == [(Op.TEXT, b'{"type":"recorded","seq":1}')]
    one.pause_writing()
    sending = asyncio.create_task(one.send_text(b"more"))
    await asyncio.sleep(0)
    transport.close()
    with pytest.raises(ConnectionResetError):
        await sending
    with pytest.raises(ConnectionResetError):
        await one.send_text(b"more")


async def test_pings_of_a_peer_that_takes_nothing_are_not_answered() -> None:
    one, transport = opened(server=True)
    one.data_received(frame(Op.PING, b"1", masked=True))
    one.pause_writing()
    one.data_received(frame(Op.PING, b"2", masked=True))
    one.resume_writing()
    one.data_received(frame(Op.PING, b"3", masked=True))
    assert frames_of(bytes(transport.written)) == [(Op.PONG, b"1"), (Op.PONG, b"3")]
    transport.close()


async def test_what_is_written_is_no_sign_that_a_peer_takes_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(liveness, "STALL_SECONDS", 0.05)
    one, transport = opened(server=True)
    transport.waiting = 70_000
    one.pause_writing()
    for _ in range(100):
        transport.waiting += 100
        await asyncio.sleep(0.01)
        if transport.ended:
            break
    assert transport.ended
    await one.lost


async def test_one_that_does_not_take_its_close_is_cut_off_whatever_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(liveness, "STALL_SECONDS", 0.05)
    one, transport = opened(server=True)
    transport.waiting = 1000  # too little to be full
    seen = 0
    for turn in range(100):
        one.data_received(frame(Op.PONG, b"", masked=True))
        await asyncio.sleep(0.01)
        if transport.ended:
            break
        seen = turn
        if turn == 10:
            one.finish(1000)
    assert 10 <= seen < 99
    await one.lost
