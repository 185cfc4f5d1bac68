"""The recorder: who may say how a run ended, and when."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from container.protocol import MAX_FRAME_BYTES
from gateway.concurrency.aside import Aside
from gateway.concurrency.backoff import Backoff
from gateway.concurrency.condition import Condition
from gateway.errors import RunNotFound, SandboxUnavailable, SandboxUnstartable, StoreUnavailable
from gateway.model import RunState
from gateway.runs.recording import reading, watchdog
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
        aside=Aside(),
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


@pytest.mark.parametrize(("told", "reason"), [("spot", "spot"), ("oom", "oom"), ("", "gone")])
async def test_a_lost_run_says_what_the_next_sandbox_knows_of_its_own(told: str, reason: str) -> None:
    """Without volumes the next one has no log of the run, and was told why the one before it ended."""

    class Woken(FakeDriver):
        @property
        def sandbox(self) -> Any:
            return replace(super().sandbox, lost_before=told)

    store = FakeStore(a_run(RunState.RUNNING, generation=2, recorded=1), [line(1, "run")])
    await recorder(store, FakeAgent(RunNotFound("unknown")), Woken()).record()
    assert ends(store) == [("run", None), ("sandbox-lost", reason), ("process-exit", "lost")]


async def test_a_query_that_no_sandbox_has_waits_for_nobody() -> None:
    class Nowhere(FakeDriver):
        async def ensure(self, _session: str) -> Any:
            raise SILENT

    store, driver = FakeStore(a_run()), Nowhere()
    driver.broken = SandboxUnavailable("the launcher is away")
    await recorder(store, FakeAgent(SILENT), driver).record("hello")
    assert store.run.state is RunState.FAILED


class Unstartable(FakeDriver):
    """A launcher whose image is gone."""

    async def ensure(self, _session: str) -> Any:
        raise SandboxUnstartable("The image agent:1 is not on the Docker engine; scripts/up builds it again.")


async def test_a_run_that_no_sandbox_can_be_started_for_ends_at_once_with_the_sentence() -> None:
    store = FakeStore(a_run())
    async with asyncio.timeout(10):
        await recorder(store, FakeAgent(SILENT), Unstartable(), start_seconds=600.0).record("hello")
    assert store.run.state is RunState.FAILED
    assert ends(store) == [("run", None), ("error", "sandbox-unstartable"), ("process-exit", "failed")]
    assert "agent:1 is not on the Docker engine; scripts/up" in json.loads(store.frames[1])["error"]


async def test_a_run_that_a_sandbox_had_waits_for_the_image_to_come_back() -> None:
    class Away(Unstartable):
        asked = 0

        async def ensure(self, session: str) -> Any:
            self.asked += 1
            if self.asked > 2:
                return await FakeDriver.ensure(self, session)
            return await super().ensure(session)

    store, driver = FakeStore(a_run(RunState.RUNNING, generation=2)), Away()
    agent = FakeAgent(FakeSocket([line(1, "run"), line(2, "process-exit", reason="completed", exitCode=0)]))
    await recorder(store, agent, driver, start_seconds=600.0).record()
    assert driver.asked == 3
    assert store.run.state is RunState.COMPLETED


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


def run_of(*frames: bytes, **changes: Any) -> FakeStore:
    """A running run of which these frames are recorded."""
    run = a_run(RunState.RUNNING, **{"generation": 2, "recorded": len(frames), **changes})
    return FakeStore(run, frames)


FIRST = line(1, "run")


async def test_a_run_that_goes_on_after_its_stop_is_ended_with_its_sandbox_and_keeps_its_text() -> None:
    store, driver = run_of(generation=1), FakeDriver()
    driver.broken = SandboxUnavailable("the launcher is away")
    deaf = FakeAgent(FakeSocket([FIRST, line(2, text="so far")], close_code=None))
    one = recorder(store, deaf, driver, start_seconds=60.0, stop_seconds=0.2)
    async with working(one.record()) as recording:
        await until(lambda: store.run.recorded == 2)
        await one.ask_stop()
        assert deaf.signals == ["stop"]
        await until(lambda: driver.stops > 1)
        assert not store.run.state.final
        driver.broken = None
        await recording
    assert ends(store) == [("run", None), ("text-delta", None), ("process-exit", "stopped")]
    assert (store.run.state, store.run.own) == (RunState.STOPPED, 1)
    assert store.answers[0].content == "so far"


async def test_a_stop_that_another_gateway_was_asked_for_is_kept_too() -> None:
    store, driver = run_of(FIRST), FakeDriver()
    silent = FakeAgent(FakeSocket([], close_code=None))
    silent.unreachable = SILENT
    one = recorder(store, silent, driver, start_seconds=60.0, stop_seconds=0.2)
    async with working(one.record()) as recording:
        await until(lambda: one.sandbox is not None)
        await store.request_stop("", "")
        await recording
    assert ends(store) == [("run", None), ("process-exit", "stopped")]
    assert driver.stops == 1


async def test_a_stop_that_is_obeyed_in_time_costs_nobody_a_sandbox() -> None:
    store, driver = run_of(generation=1), FakeDriver()
    socket = FakeSocket([FIRST], close_code=None)
    agent = FakeAgent(socket)
    one = recorder(store, agent, driver, start_seconds=60.0, stop_seconds=5.0)
    async with working(one.record()) as recording:
        await until(lambda: store.run.recorded == 1)
        socket.say(line(2, "process-exit", reason="stopped"))
        await one.ask_stop()
        await recording
    assert (store.run.state, store.run.own, driver.stops) == (RunState.STOPPED, 0, 0)


async def test_the_time_of_a_stop_stands_still_while_the_store_is_away() -> None:
    store, driver = run_of(generation=1), FakeDriver()
    socket = FakeSocket([FIRST], close_code=None)
    one = recorder(store, FakeAgent(socket), driver, start_seconds=60.0, stop_seconds=0.2)
    async with working(one.record()) as recording:
        await until(lambda: store.run.recorded == 1)
        store.away = StoreUnavailable("away")
        socket.say(line(2, text="x"))
        await until(lambda: one._lease.waits_for_store)
        await one.ask_stop()
        await asyncio.sleep(0.6)
        assert driver.stops == 0
        socket.say(line(3, "process-exit", reason="stopped"))
        store.away = None
        await recording
    assert (store.run.state, store.run.own, driver.stops) == (RunState.STOPPED, 0, 0)


async def test_a_run_taken_over_twice_without_a_frame_is_ended_unread() -> None:
    store, driver = run_of(FIRST, takeovers=2, generation=4), FakeDriver()
    agent = FakeAgent(SILENT)
    await recorder(store, agent, driver).record()
    assert (agent.attached, driver.stops) == ([], 1)
    assert ends(store) == [("run", None), ("error", "sandbox-faulty"), ("process-exit", "failed")]
    assert store.run.state is RunState.FAILED


async def test_a_takeover_is_counted_before_anything_is_read_and_forgotten_with_the_next_frame() -> None:
    store = run_of(FIRST, takeovers=1)
    counts: list[int] = []
    socket = FakeSocket([line(2)], close_code=None)
    agent = FakeAgent(socket)
    attach = agent.attach

    async def watched(*args: Any, **more: Any) -> Any:
        counts.append(store.run.takeovers)
        return await attach(*args, **more)

    agent.attach = watched  # type: ignore[method-assign]
    async with working(recorder(store, agent, FakeDriver(), start_seconds=60.0).record()):
        await until(lambda: store.run.recorded == 2)
    assert counts == [2]
    assert store.run.takeovers == 0


async def test_the_first_recorder_and_one_that_waits_for_its_sandbox_count_as_no_takeover() -> None:
    class Slow(FakeDriver):
        async def ensure(self, _session: str) -> Any:
            await asyncio.Event().wait()

    first = run_of(generation=1)
    async with working(
        recorder(first, FakeAgent(FakeSocket([FIRST], close_code=None)), FakeDriver()).record()
    ):
        await until(lambda: first.run.recorded == 1)
    waiting = FakeStore(a_run(generation=3))
    async with working(recorder(waiting, FakeAgent(SILENT), Slow()).record()):
        await asyncio.sleep(0.2)
    assert (first.run.takeovers, waiting.run.takeovers) == (0, 0)


async def test_a_recorder_that_fails_counts_as_a_takeover() -> None:
    class Broken(FakeDriver):
        async def ensure(self, _session: str) -> Any:
            raise RuntimeError("a fault of ours")

    store = FakeStore(a_run(generation=2))
    with pytest.raises(RuntimeError):
        await recorder(store, FakeAgent(SILENT), Broken()).record()
    assert store.run.takeovers == 1


async def test_a_sandbox_that_breaks_the_protocol_again_and_again_fails_its_run() -> None:
    store, driver = run_of(), FakeDriver()
    attached: list[int] = []

    async def attach(_sandbox: Any, _run: str, *, after: int, **_: Any) -> FakeSocket:
        attached.append(after)
        return FakeSocket([[FIRST], [line(2), line(7)]][after > 0])

    agent = FakeAgent()
    agent.attach = attach  # type: ignore[method-assign]
    await recorder(store, agent, driver, start_seconds=60.0).record()
    assert driver.stops == 1
    assert attached == [0, 1, 2, 2]
    assert ends(store) == [
        ("run", None),
        ("text-delta", None),
        ("error", "sandbox-faulty"),
        ("process-exit", "failed"),
    ]


async def test_connections_that_last_and_bring_nothing_come_to_an_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "LASTING_SECONDS", -1.0)
    monkeypatch.setattr(watchdog, "MOST_FRUITLESS", 3)
    monkeypatch.setattr(Backoff, "next", lambda _: 0.0)
    store, driver = run_of(FIRST), FakeDriver()
    await recorder(store, FakeAgent(FakeSocket([])), driver, start_seconds=60.0).record()
    assert (store.run.state, driver.stops) == (RunState.FAILED, 1)


async def test_a_sandbox_that_says_nothing_at_all_is_restarted_and_then_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "SILENCE_SECONDS", 0.05)
    monkeypatch.setattr(reading, "LASTING_SECONDS", 0.0)
    store, driver = run_of(FIRST), FakeDriver()
    await recorder(store, FakeAgent(FakeSocket([], close_code=None)), driver).record()
    assert ends(store)[-1] == ("process-exit", "lost")
    assert driver.stops == 2


class Clinging(FakeSocket):
    """Its peer never lets go: `close` waits for ever, and so does what is said to it with `deaf`."""

    def __init__(self, *args: Any, deaf: bool = False, **more: Any) -> None:
        super().__init__(*args, **more)
        self._deaf = deaf

    async def send_json(self, data: Any) -> None:
        if self._deaf:
            await asyncio.Event().wait()

    async def close(self, **_: Any) -> None:
        await asyncio.Event().wait()


async def test_a_peer_that_does_not_let_go_of_a_connection_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "CLOSE_SECONDS", 0.05)
    store, driver = run_of(generation=1), FakeDriver()
    end = line(2, "process-exit", reason="completed")
    async with asyncio.timeout(30):
        await recorder(store, FakeAgent(Clinging([FIRST + b"\n" + end])), driver).record()
    assert (store.run.state, driver.stops) == (RunState.COMPLETED, 0)


async def test_a_sandbox_that_never_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "TELL_SECONDS", 0.05)
    monkeypatch.setattr(reading, "CLOSE_SECONDS", 0.05)
    store, driver = run_of(generation=1), FakeDriver()
    agent = FakeAgent(
        *(Clinging([line(at, "text-delta" if at > 1 else "run")], None, deaf=True) for at in (1, 2, 3))
    )
    async with asyncio.timeout(30):
        await recorder(store, agent, driver, start_seconds=60.0).record()
    assert (store.run.state, driver.stops) == (RunState.FAILED, 1)
    assert ends(store)[-2:] == [("error", "sandbox-faulty"), ("process-exit", "failed")]


async def test_an_end_that_the_store_has_not_taken_yet_is_the_only_one() -> None:
    """The stop's time runs out while the last frame is on its way to a store that is slow."""
    store, driver = run_of(generation=1), FakeDriver()
    taken, slow = asyncio.Event(), asyncio.Event()
    append = store.append_frames

    async def slowly(*args: Any, **more: Any) -> Any:
        if more["last"] == 2:
            taken.set()
            await slow.wait()
        return await append(*args, **more)

    store.append_frames = slowly  # type: ignore[method-assign]
    socket = FakeSocket([FIRST], close_code=None)
    one = recorder(store, FakeAgent(socket), driver, start_seconds=60.0, stop_seconds=0.2)
    async with working(one.record()) as recording:
        await until(lambda: store.run.recorded == 1)
        await one.ask_stop()
        socket.say(line(2, "process-exit", reason="stopped"))
        await taken.wait()
        await asyncio.sleep(0.6)
        slow.set()
        await recording
    assert ends(store) == [("run", None), ("process-exit", "stopped")]
    assert (store.run.own, driver.stops) == (0, 0)


async def test_last_words_that_a_drain_cuts_off_are_handed_over_as_the_gateway_s_own() -> None:
    store, driver = run_of(FIRST, takeovers=2, generation=4), FakeDriver()
    append, writing = store.append_frames, asyncio.Event()

    async def never(*_: Any, **__: Any) -> Any:
        writing.set()
        await asyncio.Event().wait()

    store.append_frames = never  # type: ignore[method-assign]
    one = recorder(store, FakeAgent(SILENT), driver)
    async with working(one.record()):
        await writing.wait()
    store.append_frames = append  # type: ignore[method-assign]
    await one.hand_over()
    assert (store.run.recorded, store.run.own) == (3, 2)
