"""Sinks, bells, delays and counters: the small parts of following a run."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from container.protocol import FrameType
from gateway.concurrency.backoff import Backoff
from gateway.concurrency.condition import Condition
from gateway.runs.follower import _messages
from gateway.runs.sink import tell
from gateway.web.streams import sinks
from gateway.web.streams.sinks import EventSink
from tests.gateway.fakes import working


async def test_every_frame_is_an_event_with_its_cursor() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        sink = EventSink(response, "r1")
        await sink.send(b'{"type":"a","run":"r1","seq":7}\n{"type":"b","run":"r1","seq":8}')
        await tell(sink, FrameType.STATUS, phase="queued")
        return response

    app = web.Application()
    app.router.add_get("/", handle)
    async with TestClient(TestServer(app)) as client:
        text = await (await client.get("/")).text()
    assert text == (
        'id: r1:7\ndata: {"type":"a","run":"r1","seq":7}\n\n'
        'id: r1:8\ndata: {"type":"b","run":"r1","seq":8}\n\n'
        'data: {"type":"status","phase":"queued"}\n\n'
    )


class Response:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    async def write(self, data: bytes) -> None:
        self.written.append(data)


async def test_a_carriage_return_between_tokens_does_not_cut_an_event() -> None:
    response = Response()
    await EventSink(response, "r1").send(b'{"type":"a",\r"run":"r1","seq":7}')  # type: ignore[arg-type]
    assert response.written == [b'id: r1:7\ndata: {"type":"a", "run":"r1","seq":7}\n\n']


async def test_the_heartbeat_is_steady_whatever_else_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "EVENT_HEARTBEAT_SECONDS", 0.05)
    response = Response()
    sink = EventSink(response, "r1")  # type: ignore[arg-type]
    async with working(sink.heartbeat()):
        async with asyncio.timeout(30):
            while response.written.count(b": heartbeat\n\n") < 3:
                await tell(sink, FrameType.PING)
                await asyncio.sleep(0.01)


def test_a_chunk_becomes_single_frames_or_batches_within_the_limit() -> None:
    lines = [b"x" * size for size in (10, 200_000, 100_000, 5)]
    chunk = b"".join(line + b"\n" for line in lines)
    assert list(_messages(chunk, batch=False)) == lines
    batches = list(_messages(chunk, batch=True))
    assert b"\n".join(batches) == chunk[:-1]
    assert [len(batch) for batch in batches] == [200_011, 100_006]


async def test_a_bell_wakes_those_who_wait_and_nobody_later() -> None:
    bell = Condition()
    waiting = [asyncio.create_task(bell.wait(30)) for _ in range(3)]
    await asyncio.sleep(0)
    bell.notify_all()
    async with asyncio.timeout(30):
        await asyncio.gather(*waiting)
    late = asyncio.create_task(bell.wait(0.05))
    await asyncio.sleep(0)
    assert not late.done()
    await late


def test_delays_grow_to_their_cap_and_start_again() -> None:
    backoff = Backoff(first=0.1, most=1.0)
    delays = [backoff.next() for _ in range(8)]
    assert all(
        0.5 * min(1.0, 0.1 * 2**at) <= delay <= min(1.0, 0.1 * 2**at) for at, delay in enumerate(delays)
    )
    backoff.reset()
    assert backoff.next() <= 0.1
