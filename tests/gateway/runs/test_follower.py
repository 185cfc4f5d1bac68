"""Following a run: from its sandbox or the store, to an end that the reader is told."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from container.protocol import encode
from gateway.errors import CursorAhead, SandboxUnavailable
from gateway.model import RunState
from gateway.runs import follower as follower_module
from gateway.runs.follower import Follower
from tests.gateway.fakes import (
    RUN,
    SESSION,
    FakeAgent,
    FakeDriver,
    FakeSink,
    FakeSocket,
    FakeStore,
    a_run,
    fake_runs,
    line,
    until,
    working,
)

FRAMES = [line(1, "run"), line(2, text="a"), line(3, "sandbox-lost"), line(4, "process-exit", reason="lost")]
LOST = a_run(RunState.LOST, recorded=4, own=2, reason="lost")
COMPLETED = a_run(RunState.COMPLETED, recorded=4, reason="completed")


def told(sink: FakeSink) -> list[dict[str, Any]]:
    return [json.loads(frame) for message in sink.messages for frame in message.split(b"\n")]


async def follow(store: FakeStore, after: int, *upstreams: Any) -> tuple[Follower, FakeSink]:
    sink = FakeSink()
    follower = Follower(fake_runs(store, FakeAgent(*upstreams)), sink, SESSION, RUN, after)
    await follower.follow()
    return follower, sink


@pytest.mark.parametrize("after", [3, 4])
async def test_a_cursor_among_a_gateways_own_last_frames_is_ahead(after: int) -> None:
    # That reader may have seen frames of these numbers that went with their sandbox.
    with pytest.raises(CursorAhead):
        await follow(FakeStore(LOST, FRAMES), after)


async def test_a_reader_that_got_ahead_while_it_read_is_told_so() -> None:
    store = FakeStore(a_run(RunState.RUNNING, recorded=2), FRAMES)

    class Dying(FakeSocket):
        async def receive(self, seconds: float | None = None) -> Any:
            if not self._messages:
                store.run = LOST
            return await super().receive(seconds)

    foreign = Dying([line(3, text="never recorded")], close_code=1006)
    with pytest.raises(CursorAhead):
        await follow(store, 2, foreign)


async def test_a_reader_behind_what_the_sandbox_wrote_goes_on() -> None:
    _, sink = await follow(FakeStore(LOST, FRAMES), 2)
    assert [frame.get("seq") for frame in told(sink)] == [3, 4, None]


async def test_a_reader_that_has_it_all_is_told_the_end_once_more() -> None:
    follower, sink = await follow(FakeStore(COMPLETED, FRAMES), 4)
    assert [frame["type"] for frame in told(sink)] == ["replay-complete", "process-exit"]
    assert told(sink)[-1] == {
        "type": "process-exit",
        "exitCode": None,
        "reason": "completed",
        "run": RUN,
    }
    assert follower.cursor == 4


async def test_what_comes_behind_process_exit_does_not_hide_it() -> None:
    store = FakeStore(a_run(RunState.RUNNING), FRAMES)
    end = line(2, "process-exit", exitCode=0, reason="completed")
    after_it = encode({"type": "replay-complete", "after": 2})
    ended = FakeSocket([line(1, "run"), end, after_it])

    async def settled(*_: Any) -> Any:
        return COMPLETED

    store.get_run = settled  # type: ignore[method-assign, assignment]
    runs = fake_runs(store, FakeAgent(ended, SandboxUnavailable("asked twice")))
    sink = FakeSink()
    await Follower(runs, sink, SESSION, RUN, 0).follow(a_run(RunState.RUNNING))
    assert sink.messages == [line(1, "run"), end, after_it]


@pytest.mark.parametrize("phase", ["sandbox-placing", ""])
async def test_a_start_that_takes_long_tells_what_it_is_at(
    phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the run is recorded here; a driver that does not tell leaves it at the start itself."""
    monkeypatch.setattr(follower_module, "LOOK_SECONDS", 0.005)
    monkeypatch.setattr(follower_module, "STATUS_DELAY_SECONDS", 0.005)

    class Slow(FakeDriver):
        def phase(self, _session: str) -> str:
            return phase

    store, sink = FakeStore(a_run()), FakeSink()
    runs = fake_runs(store, FakeAgent(), Slow())
    runs.recorders[RUN] = SimpleNamespace(sandbox=None, ended=False)
    async with working(Follower(runs, sink, SESSION, RUN, 0).follow()):
        await until(lambda: bool(told(sink)))
    assert [(frame["type"], frame["phase"]) for frame in told(sink)] == [
        ("status", phase or "sandbox-starting")
    ]
