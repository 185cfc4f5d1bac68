"""What every `Store` must do with runs: admission and leases."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.errors import Conflict, QueueFull, RunNotFound, SessionBusy, SessionNotFound
from gateway.model import OnBusy, RunState
from tests.gateway.store.ends_conformance import EndConformance
from tests.gateway.store.store_samples import (
    LEASE,
    admit,
    finish,
    frames,
    message,
    new_run,
    read,
    session,
)

if TYPE_CHECKING:
    from gateway.store import Store


class AdmissionConformance:
    """`create_run`."""

    async def test_an_idle_session_runs_the_prompt_at_once(self, store: Store) -> None:
        await store.create_session(session("s1"))
        admission = await admit(store, "s1", "m1", prompt="do it")
        run = admission.run
        assert (admission.position, admission.duplicate) == (0, False)
        assert (run.state, run.generation, run.lease_owner, run.recorded) == (RunState.PENDING, 1, "g1", 0)
        assert await store.get_run("s1", run.id) == run
        found = await store.get_session("s1")
        assert (found.active_run, found.queue) == (run.id, ())
        kept = await store.get_message("s1", "m1")
        assert kept is not None
        assert (kept.role, kept.content, kept.run) == ("user", "do it", run.id)

    async def test_a_busy_session_queues_in_order(self, store: Store) -> None:
        await store.create_session(session("s1"))
        active = await admit(store, "s1", "m1")
        second, third = await admit(store, "s1", "m2"), await admit(store, "s1", "m3")
        first = await admit(store, "s1", "m4", on_busy=OnBusy.INTERRUPT)
        assert [second.position, third.position, first.position] == [1, 2, 1]
        assert [item.run.state for item in (second, third, first)] == [RunState.QUEUED] * 3
        assert (second.run.generation, second.run.lease_owner, second.run.lease_until) == (0, "", 0)
        found = await store.get_session("s1")
        assert found.active_run == active.run.id
        assert found.queue == (first.run.id, second.run.id, third.run.id)

    async def test_refused_prompts_change_nothing(self, store: Store) -> None:
        await store.create_session(session("s1"))
        await admit(store, "s1", "m1")
        await admit(store, "s1", "m2")
        before = await store.get_session("s1")
        with pytest.raises(SessionBusy):
            await admit(store, "s1", "m3", on_busy=OnBusy.REJECT)
        for on_busy in (OnBusy.QUEUE, OnBusy.INTERRUPT):
            with pytest.raises(QueueFull):
                await admit(store, "s1", "m3", on_busy=on_busy, queue_limit=1)
        assert await store.get_session("s1") == before
        assert await store.get_message("s1", "m3") is None
        assert len((await store.list_runs("s1")).items) == 2

    async def test_a_message_starts_one_run_whatever_is_sent_again(self, store: Store) -> None:
        await store.create_session(session("s1"))
        first, second = await admit(store, "s1", "m1"), await admit(store, "s1", "m2")
        for on_busy in OnBusy:
            again = await admit(store, "s1", "m1", on_busy=on_busy, queue_limit=0)
            assert (again.run.id, again.position, again.duplicate) == (first.run.id, 0, True)
            again = await admit(store, "s1", "m2", on_busy=on_busy, queue_limit=0)
            assert (again.run.id, again.position, again.duplicate) == (second.run.id, 1, True)
        assert len((await store.list_runs("s1")).items) == 2

    async def test_the_same_request_again_is_not_its_own_duplicate(self, store: Store) -> None:
        await store.create_session(session("s1"))
        new = new_run("s1", "m1")
        for _ in range(2):
            admission = await store.create_run(
                new, on_busy=OnBusy.REJECT, queue_limit=0, gateway="g1", lease_seconds=LEASE
            )
            assert (admission.run.id, admission.duplicate) == (new.id, False)

    async def test_racing_duplicates_are_one_run(self, store: Store) -> None:
        await store.create_session(session("s1"))
        racing = await asyncio.gather(*(admit(store, "s1", "m1", on_busy=OnBusy.REJECT) for _ in range(8)))
        assert len({admission.run.id for admission in racing}) == 1
        assert sorted(admission.duplicate for admission in racing) == [False] + [True] * 7

    async def test_racing_prompts_are_one_active_run_and_an_exact_queue(self, store: Store) -> None:
        await store.create_session(session("s1"))
        racing = await asyncio.gather(
            *(admit(store, "s1", f"m{number}", queue_limit=3) for number in range(6)), return_exceptions=True
        )
        admitted = [item for item in racing if not isinstance(item, BaseException)]
        assert [type(item) for item in racing if isinstance(item, BaseException)] == [QueueFull] * 2
        assert sorted(item.position for item in admitted) == [0, 1, 2, 3]
        found = await store.get_session("s1")
        by_place = [item.run.id for item in sorted(admitted, key=lambda item: item.position)]
        assert [found.active_run, *found.queue] == by_place

    async def test_a_message_without_a_run_starts_none(self, store: Store) -> None:
        await store.create_session(session("s1"))
        await store.put_message(message("s1", "m1"))
        with pytest.raises(Conflict):
            await admit(store, "s1", "m1")
        assert (await store.get_session("s1")).active_run is None

    async def test_runs_are_listed_newest_first(self, store: Store) -> None:
        await store.create_session(session("s1"))
        made = [(await admit(store, "s1", f"m{number}")).run.id for number in range(5)]
        page = await store.list_runs("s1", limit=3)
        rest = await store.list_runs("s1", limit=3, cursor=page.cursor)
        assert [run.id for run in (*page.items, *rest.items)] == made[::-1]
        assert rest.cursor is None

    async def test_a_missing_run_is_an_error(self, store: Store) -> None:
        await store.create_session(session("s1"))
        for attempt in (store.get_run("s1", "none"), store.request_stop("s1", "none")):
            with pytest.raises(RunNotFound):
                await attempt
        with pytest.raises(RunNotFound):
            _ = [chunk async for chunk in store.read_frames("s1", "none")]


class LeaseConformance:
    """Leases and the fence."""

    async def test_only_a_lease_that_ran_out_is_taken(self, store: Store) -> None:
        await store.create_session(session("s1"))
        run = (await admit(store, "s1", "m1")).run
        assert await store.take_lease(run, gateway="g2", lease_seconds=5, now=run.lease_until - 1) is None
        late = run.lease_until + 1
        racing = await asyncio.gather(
            *(store.take_lease(run, gateway=f"g{n}", lease_seconds=5, now=late) for n in range(2, 8))
        )
        (taken,) = [item for item in racing if item is not None]
        assert (taken.generation, taken.lease_until) == (2, late + 5)
        assert await store.get_run("s1", run.id) == taken

    async def test_our_own_lease_is_taken_at_any_time(self, store: Store) -> None:
        await store.create_session(session("s1"))
        run = (await admit(store, "s1", "m1")).run
        taken = await store.take_lease(run, gateway="g1", lease_seconds=5, now=run.lease_until - 5)
        assert taken is not None
        assert taken.generation == 2
        assert await store.renew_lease(run, lease_seconds=5, now=0) is None

    async def test_a_fenced_gateway_changes_nothing(self, store: Store) -> None:
        await store.create_session(session("s1"))
        old = (await admit(store, "s1", "m1")).run
        new = await store.take_lease(old, gateway="g2", lease_seconds=5, now=old.lease_until + 1)
        assert new is not None
        assert await store.renew_lease(old, lease_seconds=60, now=old.lease_until) is None
        assert await store.mark_running(old) is None
        assert await store.append_frames(old, first=1, last=1, frames=frames(old.id, 1, 1)) is None
        answer = message("s1", "a1")
        assert await finish(store, old, answer=answer) is None
        await store.release_lease(old)
        assert await store.get_run("s1", old.id) == new
        assert await store.get_message("s1", "a1") is None
        assert await read(store, old) == b""

    async def test_renewing_extends_and_tells_of_a_stop(self, store: Store) -> None:
        await store.create_session(session("s1"))
        run = (await admit(store, "s1", "m1")).run
        await store.request_stop("s1", run.id)
        renewed = await store.renew_lease(run, lease_seconds=5, now=run.lease_until)
        assert renewed is not None
        assert (renewed.lease_until, renewed.stop_requested) == (run.lease_until + 5, True)

    async def test_a_released_lease_is_anyones(self, store: Store) -> None:
        await store.create_session(session("s1"))
        run = (await admit(store, "s1", "m1")).run
        await store.release_lease(run)
        await store.release_lease(run)
        assert await store.renew_lease(run, lease_seconds=5, now=1) is None
        (found,) = await store.expired_runs(now=1)
        taken = await store.take_lease(found, gateway="g2", lease_seconds=5, now=1)
        assert taken is not None
        assert taken.lease_owner == "g2"

    async def test_takeovers_are_counted_until_a_frame_comes_or_the_lease_is_given_back(
        self, store: Store
    ) -> None:
        await store.create_session(session("s1"))
        run = (await admit(store, "s1", "m1")).run
        assert run.takeovers == 0
        for _ in range(2):
            counted = await store.set_takeovers(run, 2)
            assert counted == replace(run, takeovers=2)
        later = run.lease_until + 1
        taken = await store.take_lease(run, gateway="g2", lease_seconds=5, now=later)
        assert taken is not None
        assert taken.takeovers == 2
        assert await store.set_takeovers(run, 0) is None
        written = await store.append_frames(taken, first=1, last=1, frames=frames(run.id, 1, 1))
        assert written == await store.get_run("s1", run.id)
        assert written is not None
        assert written.takeovers == 0
        assert await store.set_takeovers(written, 1) is not None
        await store.release_lease(written)
        assert (await store.get_run("s1", run.id)).takeovers == 0

    async def test_running_is_marked_once_and_again(self, store: Store) -> None:
        await store.create_session(session("s1"))
        run = (await admit(store, "s1", "m1")).run
        for _ in range(2):
            running = await store.mark_running(run)
            assert running is not None
            assert running.state is RunState.RUNNING
            assert running.generation == run.generation

    async def test_the_index_has_open_runs_whose_lease_ran_out_oldest_first(self, store: Store) -> None:
        runs = []
        for number in range(6):
            await store.create_session(session(f"s{number}"))
            run = (await admit(store, f"s{number}", "m")).run
            await admit(store, f"s{number}", "queued")
            renewed = await store.renew_lease(run, lease_seconds=10 - number, now=1000)
            assert renewed is not None
            runs.append(renewed)
        ended = await finish(store, runs.pop(), gateway="g1")
        assert ended is not None
        found = await store.expired_runs(now=1009.5)
        assert [item.id for item in found] == [run.id for run in runs[:0:-1]]
        assert [item.id for item in await store.expired_runs(now=1009.5, limit=2)] == [runs[4].id, runs[3].id]
        taken = await store.take_lease(found[0], gateway="g2", lease_seconds=10, now=1009.5)
        assert taken == replace(runs[4], generation=2, lease_owner="g2", lease_until=1019.5)
        assert [item.id for item in await store.expired_runs(now=1009.5)] == [run.id for run in runs[3:0:-1]]


class UseConformance:
    """Sessions whose sandboxes are in use."""

    async def test_a_use_is_noted_and_changes_nothing_else(self, store: Store) -> None:
        before = await store.create_session(session("s1"))
        assert before.used_at == 0
        await store.use_session("s1")
        after = await store.get_session("s1")
        assert after == replace(before, used_at=after.used_at)
        assert after.used_at > 0

    async def test_a_session_that_is_gone_is_not_brought_back(self, store: Store) -> None:
        await store.use_session("s1")
        with pytest.raises(SessionNotFound):
            await store.get_session("s1")


class RunsConformance(AdmissionConformance, LeaseConformance, UseConformance, EndConformance):
    """All of it."""
