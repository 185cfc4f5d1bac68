"""The recorder: who may say how a run ended, and when."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from container.protocol import MAX_FRAME_BYTES
from gateway.concurrency.condition import Condition
from gateway.errors import SandboxUnavailable, StoreUnavailable
from gateway.model import RunState
from gateway.runs.recording.recorder import Recorder
from tests.gateway.fakes import (
    FakeAgent,
    FakeDriver,
    FakeSocket,
    FakeStore,
    a_run,
    line,
    quick_settings,
    until,
    working,
)

SILENT = SandboxUnavailable("silent")


def recorder(store: FakeStore, agent: FakeAgent, driver: FakeDriver, **changes: Any) -> Recorder:
    return Recorder(
        store.run,
        settings=quick_settings(**changes),
        store=store,  # type: ignore[arg-type]
        driver=driver,  # type: ignore[arg-type]
        agent=agent,  # type: ignore[arg-type]
        changed=Condition(),
        gateway="g1",
    )


def ends(store: FakeStore) -> list[tuple[str, str | None]]:
    """Type, and reason or code, of every frame that is recorded."""
    frames = [json.loads(frame) for frame in store.frames]
    return [(frame["type"], frame.get("reason", frame.get("code"))) for frame in frames]


async def test_a_run_is_ended_only_once_its_sandbox_is_surely_stopped() -> None:
    store, driver = (
        FakeStore(a_run(RunState.RUNNING, generation=2, recorded=1), [line(1, "run")]),
        FakeDriver(),
    )
    driver.broken = SandboxUnavailable("the launcher is away")
    async with working(recorder(store, FakeAgent(SILENT), driver).record()) as recording:
        await until(lambda: driver.stops > 3)
        assert not store.run.state.final
        driver.broken = None
        await recording
    assert ends(store) == [("run", None), ("sandbox-lost", "gone"), ("process-exit", "lost")]
    assert (store.run.state, store.run.recorded, store.run.own) == (RunState.LOST, 3, 2)


async def test_a_query_that_no_sandbox_has_waits_for_nobody() -> None:
    class Nowhere(FakeDriver):
        async def ensure(self, _session: str) -> Any:
            raise SILENT

    store, driver = FakeStore(a_run()), Nowhere()
    driver.broken = SandboxUnavailable("the launcher is away")
    await recorder(store, FakeAgent(SILENT), driver).record("hello")
    assert store.run.state is RunState.FAILED


async def test_a_sandbox_that_sends_too_long_a_frame_is_stopped_and_its_run_fails() -> None:
    store, driver = FakeStore(a_run()), FakeDriver()
    driver.broken = SandboxUnavailable("the launcher is away")
    noise = FakeAgent()

    async def attach(_sandbox: Any, _run: str, *, after: int, **_: Any) -> FakeSocket:
        frames = [line(1, "run"), line(2, text="x" * MAX_FRAME_BYTES)]
        return FakeSocket(frames[after:])

    noise.attach = attach  # type: ignore[method-assign]
    async with working(recorder(store, noise, driver).record("hello")) as recording:
        await until(lambda: driver.stops > 1)
        assert not store.run.state.final
        driver.broken = None
        await recording
    assert ends(store) == [("run", None), ("error", "run-too-large"), ("process-exit", "failed")]
    assert (store.run.state, store.run.own) == (RunState.FAILED, 2)
    assert store.answers[0].meta["error"]["code"] == "run-too-large"


async def test_no_reader_is_sent_to_a_sandbox_that_broke_off_while_the_store_is_away() -> None:
    store, driver = FakeStore(a_run(RunState.RUNNING, generation=2)), FakeDriver()
    one = recorder(store, FakeAgent(FakeSocket([line(1, "run")])), driver, start_seconds=60.0)
    marked = store.mark_running

    async def and_go(run: Any) -> Any:
        found = await marked(run)
        store.away = StoreUnavailable("away")
        return found

    store.mark_running = and_go  # type: ignore[method-assign, assignment]
    async with working(one.record()):
        await until(lambda: store.away is not None)
        await until(lambda: one.sandbox is None)
        assert store.frames == []


async def test_a_stop_is_repeated_until_the_sandbox_has_heard_it() -> None:
    store, driver = FakeStore(a_run(RunState.RUNNING, generation=2)), FakeDriver()
    agent = FakeAgent(FakeSocket([line(1, "run")], close_code=None))
    agent.unreachable = SILENT
    one = recorder(store, agent, driver, start_seconds=60.0)
    async with working(one.record()):
        await until(lambda: one.sandbox is not None)
        await one.ask_stop()  # the store was never told
        await until(lambda: len(agent.signals) > 1)
        agent.unreachable = None
        heard = len(agent.signals)
        await until(lambda: len(agent.signals) > heard)
        heard = len(agent.signals)
        await asyncio.sleep(0.1)
    assert len(agent.signals) == heard
