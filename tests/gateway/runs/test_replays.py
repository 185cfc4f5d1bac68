"""Replays of a crowd: each whole and in order, in turns that leave the loop to others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest

from gateway.model import RunState
from gateway.runs import replays
from gateway.runs.follower import Follower
from tests.gateway.fakes import RUN, SESSION, FakeAgent, FakeSink, FakeStore, a_run, fake_runs, line

READERS = 60
FRAMES = [line(seq, text="x" * 100) for seq in range(1, 401)]
MOST_IN_A_ROUND = 300 * 1024


class Counting(FakeSink):
    """Tells how much is made for readers within a round of the loop."""

    def __init__(self, round_: list[int]) -> None:
        super().__init__(batch=False)
        self._round = round_

    async def send(self, message: bytes) -> None:
        self._round[0] += len(message)
        await super().send(message)

    def encoded(self, messages: Iterable[bytes]) -> bytes:
        data = super().encoded(messages)
        self._round[0] += len(data)
        return data


async def rounds(count: list[int], seen: list[int]) -> None:
    while True:
        count[0] = 0
        await asyncio.sleep(0)
        seen.append(count[0])


async def test_a_crowd_that_replays_leaves_the_loop_to_others() -> None:
    store = FakeStore(a_run(RunState.COMPLETED, recorded=len(FRAMES), reason="completed"), FRAMES)
    runs = fake_runs(store, FakeAgent())
    count, seen = [0], list[int]()
    sinks = [Counting(count) for _ in range(READERS)]
    watching = asyncio.create_task(rounds(count, seen))
    await asyncio.gather(*(Follower(runs, sink, SESSION, RUN, 0).follow() for sink in sinks))
    watching.cancel()
    for sink in sinks:
        assert b"\n".join(sink.messages).split(b"\n")[: len(FRAMES)] == FRAMES
    assert 0 < max(seen) < MOST_IN_A_ROUND


async def test_a_reader_that_takes_nothing_holds_up_no_other() -> None:
    store = FakeStore(a_run(RunState.COMPLETED, recorded=len(FRAMES), reason="completed"), FRAMES)
    runs = fake_runs(store, FakeAgent())

    class Stuck(FakeSink):
        async def write(self, data: bytes) -> None:
            await asyncio.Event().wait()

    stuck = [asyncio.create_task(Follower(runs, Stuck(), SESSION, RUN, 0).follow()) for _ in range(READERS)]
    sink = FakeSink(batch=False)
    await Follower(runs, sink, SESSION, RUN, 0).follow()
    assert b"\n".join(sink.messages).split(b"\n")[: len(FRAMES)] == FRAMES
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)


async def test_nothing_stays_read_for_a_reader_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "HELD_SECONDS", 0.01)
    store = FakeStore(a_run(RunState.COMPLETED, recorded=len(FRAMES), reason="completed"), FRAMES)
    read, kept = store.read_frames, set[int]()

    async def counted(session: str, run: str, *, after: int = 0) -> AsyncIterator[bytes]:
        kept.add(after)
        try:
            async for chunk in read(session, run, after=after):
                yield chunk
        finally:
            kept.discard(after)

    monkeypatch.setattr(store, "read_frames", counted)
    stuck, go_on = asyncio.Event(), asyncio.Event()

    class Stuck(FakeSink):
        async def write(self, data: bytes) -> None:
            await self.send(data)
            if len(self.messages) == 1:
                stuck.set()
                await go_on.wait()

    sink = Stuck(batch=False)
    following = asyncio.create_task(Follower(fake_runs(store, FakeAgent()), sink, SESSION, RUN, 0).follow())
    await stuck.wait()
    async with asyncio.timeout(30):
        while kept:
            await asyncio.sleep(0.01)
    go_on.set()
    await following
    assert b"\n".join(sink.messages).split(b"\n")[: len(FRAMES)] == FRAMES
