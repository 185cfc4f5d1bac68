"""Reading a connection: what takes long is taken beside the loop, and what takes much of it has to rest."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from gateway.concurrency.aside import Aside
from gateway.model import RunState
from gateway.runs.recording import reading
from gateway.runs.recording.intake import Intake
from gateway.runs.recording.reading import Reading
from gateway.runs.recording.run_lease import RunLease
from tests.gateway.fakes import FakeSocket, FakeStore, a_run, line, quick_settings

FIRST, LAST = line(1, "run"), line(3, "process-exit", reason="completed")
HEAVY = line(2, "tool-result", id="t", output=[[]] * 20_000)


def a_reading(store: FakeStore) -> Reading:
    async def finish() -> None:
        """The run's end is somebody else's test."""

    lease = RunLease(store.run, settings=quick_settings(), store=store, gateway="g1")  # type: ignore[arg-type]
    return Reading(lease, finish, Aside())


async def read(store: FakeStore, *messages: bytes) -> Reading:
    one = a_reading(store)
    assert await one.connection(FakeSocket(messages)) is None  # type: ignore[arg-type]
    return one


@pytest.fixture
def store() -> FakeStore:
    return FakeStore(a_run(RunState.RUNNING))


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, bool]:
    """Frames → whether the loop's thread took them."""
    took: dict[bytes, bool] = {}
    loop = threading.current_thread()

    def noted(name: str) -> None:
        take = getattr(Intake, name)

        def noting(self: Intake, frames: bytes, **own: Any) -> Any:
            took[frames.rstrip()] = threading.current_thread() is loop
            return take(self, frames, **own)

        monkeypatch.setattr(Intake, name, noting)

    noted("take")
    noted("know")
    return took


async def test_what_is_heavy_is_taken_beside_the_loop_and_all_of_it_in_order(
    store: FakeStore, threads: dict[bytes, bool]
) -> None:
    await read(store, FIRST, HEAVY, LAST)
    assert threads == {FIRST: True, HEAVY: False, LAST: True}
    assert store.frames == [FIRST, HEAVY, LAST]


async def test_so_is_what_an_earlier_recorder_wrote(threads: dict[bytes, bool]) -> None:
    store = FakeStore(a_run(RunState.RUNNING, generation=2, recorded=2), [FIRST, HEAVY])
    await a_reading(store).known()
    assert threads == {FIRST: True, HEAVY: False}


async def test_a_connection_rests_behind_what_took_long(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 0.001, 0.0, 0.07, 0.0, 0.001])  # before and behind each message
    monkeypatch.setattr(reading, "thread_time", lambda: next(clock))
    rests: list[float] = []
    sleep = asyncio.sleep

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", rest)
    await read(store, FIRST, line(2), LAST)
    assert rests == [0, pytest.approx(4 * 0.07)]
