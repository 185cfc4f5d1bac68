"""What every `Store` must do when runs end: `finish_run` and `request_stop`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.errors import Conflict
from gateway.model import RunState
from tests.gateway.store.store_samples import admit, finish, frames, message, numbered, read, session

if TYPE_CHECKING:
    from gateway.store import Store


class EndConformance:
    """`finish_run` and `request_stop`."""

    async def test_the_end_is_written_with_the_answer_and_the_sdks_session(self, store: Store) -> None:
        await store.create_session(session("s1"))
        run = await store.mark_running((await admit(store, "s1", "m1")).run)
        assert run is not None
        answer = message("s1", "a1", meta={"sdkSessionId": "sdk-7"}, run=run.id)
        ended = await finish(store, run, state=RunState.COMPLETED, answer=answer)
        assert ended is not None
        assert (ended[0].state, ended[0].reason, ended[1]) == (RunState.COMPLETED, "completed", None)
        found = await store.get_session("s1")
        assert (found.active_run, found.sdk_session_id) == (None, "sdk-7")
        assert await store.get_message("s1", "a1") == answer
        assert await store.expired_runs(now=run.lease_until + 1e6) == []

    async def test_the_end_hands_over_to_the_head_of_the_queue(self, store: Store) -> None:
        await store.create_session(session("s1"))
        first = (await admit(store, "s1", "m1")).run
        second, third = (await admit(store, "s1", "m2")).run, (await admit(store, "s1", "m3")).run
        ended = await finish(store, first, gateway="g2")
        assert ended is not None
        promoted = ended[1]
        assert promoted is not None
        assert (promoted.id, promoted.state, promoted.generation) == (second.id, RunState.PENDING, 1)
        assert promoted.lease_owner == "g2"
        found = await store.get_session("s1")
        assert (found.active_run, found.queue) == (second.id, (third.id,))
        assert [run.id for run in await store.expired_runs(now=promoted.lease_until + 1)] == [second.id]
        again = await finish(store, first, gateway="g2")
        assert again == ended
        assert await store.get_session("s1") == found

    async def test_an_ended_run_stays_as_it_is(self, store: Store) -> None:
        await store.create_session(session("s1"))
        run = (await admit(store, "s1", "m1")).run
        ended = await finish(store, run, state=RunState.FAILED)
        assert ended is not None
        again = await finish(store, run, state=RunState.STOPPED, answer=message("s1", "late"))
        assert again is not None
        assert again[0].state is RunState.FAILED
        assert await store.get_message("s1", "late") is None
        assert await store.mark_running(run) is None
        assert await store.renew_lease(run, lease_seconds=5, now=1) is None
        assert await store.take_lease(ended[0], gateway="g1", lease_seconds=5, now=1e12) is None
        assert await store.append_frames(run, first=1, last=1, frames=frames(run.id, 1, 1)) is None
        assert (await store.request_stop("s1", run.id)) == ended[0]

    async def test_a_pending_run_cannot_be_completed(self, store: Store) -> None:
        await store.create_session(session("s1"))
        run = (await admit(store, "s1", "m1")).run
        with pytest.raises(Conflict):
            await finish(store, run, state=RunState.COMPLETED)
        assert await store.get_run("s1", run.id) == run

    async def test_an_answer_that_is_there_already_does_not_hinder_the_end(self, store: Store) -> None:
        await store.create_session(session("s1"))
        run = (await admit(store, "s1", "m1")).run
        await store.put_message(message("s1", "a1", content="persisted by the client"))
        assert await finish(store, run, answer=message("s1", "a1")) is not None
        kept = await store.get_message("s1", "a1")
        assert kept is not None
        assert kept.content == "persisted by the client"
        assert (await store.get_session("s1")).active_run is None

    async def test_a_large_answer_is_kept(self, store: Store) -> None:
        await store.create_session(session("s1"))
        run = (await admit(store, "s1", "m1")).run
        parts = tuple({"type": "text", "text": f"{number:x}" * 500} for number in range(3000))
        answer = message("s1", "a1", content="x" * 700_000, parts=parts)
        assert await finish(store, run, answer=answer) is not None
        assert await store.get_message("s1", "a1") == answer

    async def test_a_stop_is_asked_for_and_stays(self, store: Store) -> None:
        await store.create_session(session("s1"))
        run = (await admit(store, "s1", "m1")).run
        for _ in range(2):
            asked = await store.request_stop("s1", run.id)
            assert asked == replace(run, stop_requested=True)

    async def test_a_stopped_queued_run_ends_at_once_with_its_frames(self, store: Store) -> None:
        await store.create_session(session("s1"))
        active = (await admit(store, "s1", "m1")).run
        second, third = (await admit(store, "s1", "m2")).run, (await admit(store, "s1", "m3")).run
        stopped = await store.request_stop("s1", second.id)
        assert (stopped.state, stopped.reason, stopped.recorded) == (RunState.STOPPED, "stopped", 2)
        assert await store.request_stop("s1", second.id) == stopped
        recorded = await read(store, second)
        assert numbered(recorded) == [1, 2]
        assert b'"type":"run"' in recorded.splitlines()[0]
        assert b'"exitCode":null,"reason":"stopped"' in recorded.splitlines()[1]
        assert (await store.get_session("s1")).queue == (third.id,)
        ended = await finish(store, active)
        assert ended is not None
        assert ended[1] is not None
        assert ended[1].id == third.id

    async def test_a_stop_and_a_promotion_at_once_leave_one_outcome(self, store: Store) -> None:
        for number in range(6):
            name = f"s{number}"
            await store.create_session(session(name))
            active = (await admit(store, name, "m1")).run
            queued = (await admit(store, name, "m2")).run
            ended, stopped = await asyncio.gather(finish(store, active), store.request_stop(name, queued.id))
            assert ended is not None
            found = await store.get_session(name)
            assert found.queue == ()
            if stopped.state is RunState.STOPPED:
                assert (ended[1], found.active_run) == (None, None)
            else:
                assert stopped.stop_requested
                assert found.active_run == queued.id
