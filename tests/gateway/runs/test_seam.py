"""The seam between a reader and its sandbox: wherever that breaks, each frame comes once, in order, whole."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from container.protocol import encode, seq_of
from gateway.model import RunState
from gateway.runs import follower
from gateway.runs.follower import Follower
from gateway.web.streams.browser_connection import browser_socket
from gateway.web.streams.sinks import EventSink, WebSocketSink
from gateway.websocket.frames import Op, close_frame, frame
from gateway.websocket.messages import Messages
from gateway.websocket.pace import Pace
from tests.gateway.fakes import RUN, SESSION, FakeStore, a_run, fake_runs, line
from tests.gateway.websocket.memory import MemoryTransport, feed, texts_of

FRAMES = 200
PLACES = 50
SMALL, LARGE = 150, 200_000
"""Bytes of text in a frame; their heads have 4 and 10 bytes."""


class Breaking:
    """An agent server of one run whose connections break: each says one whole message, then the next up to a place of
    its own. `left`: the places that are still to come; behind the last of them a connection lasts to the end."""

    def __init__(self, size: int, chances: random.Random) -> None:
        self.frames = [line(1, "run")]
        self.frames += [line(seq, text=chr(97 + seq % 26) * size) for seq in range(2, FRAMES)]
        self.frames.append(line(FRAMES, "process-exit", exitCode=0, reason="completed"))
        head = 4 if size < 65536 else 10
        inside = [head + (size - 1) * place // (PLACES - 1) for place in range(PLACES)]
        self.left = [*range(head + 1), *inside]
        self.broke = 0
        self._chances = chances
        self._tasks: set[asyncio.Task[None]] = set()

    async def attach(self, _sandbox: object, _run: str, *, after: int, batch: bool) -> Messages:
        upstream = Messages(server=False, limit=512 * 1024, pace=Pace(), name="upstream")
        transport = MemoryTransport()
        upstream.begin(transport)
        messages = list(self._messages(after, batch=batch))
        place = self.left.pop(0) if self.left and len(messages) > 1 else None
        self._start(self._say(upstream, transport, messages, place, after))
        return upstream

    async def _say(
        self,
        upstream: Messages,
        transport: MemoryTransport,
        messages: list[bytes],
        place: int | None,
        after: int,
    ) -> None:
        told = encode({"type": "replay-complete", "after": after})
        parts = [frame(Op.TEXT, told, masked=False)]
        if self._chances.random() < 0.3:
            parts.append(frame(Op.PING, b"there?", masked=False))
        framed = [frame(Op.TEXT, message, masked=False) for message in messages]
        if place is None:
            parts += [*framed, frame(Op.TEXT, told, masked=False), close_frame(1000, masked=False)]
        else:
            assert place <= len(framed[1])
            parts += [framed[0], framed[1][:place]]
            self.broke += 1
        await feed(upstream, transport, b"".join(parts), self._chances.choice((70_000, 65536, 3000, 256_000)))
        transport.close()

    def _messages(self, after: int, *, batch: bool) -> Iterator[bytes]:
        at = after
        while at < FRAMES:
            count = self._chances.choice((1, 2, 3)) if batch and len(self.frames[1]) < LARGE else 1
            yield b"\n".join(self.frames[at : at + count])
            at += count

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class AtOnce:
    """No time passes between two tries."""

    def next(self) -> float:
        return 0.0

    def reset(self) -> None:
        """There is nothing to forget."""


class Response:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = bytearray()

    async def write(self, data: bytes) -> None:
        self.written += data


@pytest.mark.parametrize("reader", ["websocket", "events"])
@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("batch", [False, True])
async def test_wherever_a_connection_breaks_each_frame_comes_once_in_order_and_whole(
    monkeypatch: pytest.MonkeyPatch, reader: str, size: int, batch: bool
) -> None:
    monkeypatch.setattr(follower, "Backoff", AtOnce)
    agent = Breaking(size, random.Random(size + batch))
    # Each round is a run: a message for each place, and at least one round whose connections break behind each frame.
    for after_each in (True, False):
        if after_each:
            places, agent.left = agent.left, [0] * FRAMES
        else:
            agent.left = places
        before = -1
        while agent.left and agent.broke != before:
            before = agent.broke
            said = await (_by_websocket(agent, batch=batch) if reader == "websocket" else _by_events(agent))
            assert [seq_of(one) for one in said] == list(range(1, FRAMES + 1))
            assert said == agent.frames
            if after_each:
                assert agent.broke >= (FRAMES - 1) // 3
                break
        assert after_each or not agent.left


async def _followed(agent: Breaking, sink: Any) -> None:
    store = FakeStore(a_run(RunState.RUNNING))
    runs = fake_runs(store, agent)  # type: ignore[arg-type]
    one = Follower(runs, sink, SESSION, RUN, 0)

    async def settled() -> None:
        """It is in the store as soon as it was delivered."""

    one._settle = settled  # type: ignore[method-assign]
    async with asyncio.timeout(50):
        await one.follow(store.run)
    assert one.cursor == FRAMES


async def _by_websocket(agent: Breaking, *, batch: bool) -> list[bytes]:
    socket, transport = browser_socket(SESSION, Pace(), 10), MemoryTransport()
    socket.begin(transport)
    await _followed(agent, WebSocketSink(socket, batch=batch))
    transport.close()
    await socket.lost
    lines = [one for message in texts_of(bytes(transport.written)) for one in message.split(b"\n")]
    return [one for one in lines if "seq" in json.loads(one)]


async def _by_events(agent: Breaking) -> list[bytes]:
    response = Response()
    await _followed(agent, EventSink(response, RUN))  # type: ignore[arg-type]
    events = bytes(response.written).split(b"\n\n")
    told = [event.rpartition(b"data: ") for event in events if event.startswith(b"id: ")]
    assert [int(one.split(b":")[-1]) for one, _, _ in told] == list(range(1, FRAMES + 1))
    return [frame for _, _, frame in told]
