"""The run state machine on the store, under any interleaving of gateways, sweepers, stops, duplicates and crashes.

Hypothesis draws steps; each step lets one to three things happen at the same time, under one kind of fault.
A *handle* is a lease as some gateway knows it; handles are never thrown away, so a gateway that was only paused
comes back with any of its old ones. After each step an observer reads everything and compares it with what it has seen.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from gateway.errors import Conflict, QueueFull, SessionBusy, StoreUnavailable
from gateway.ids import new_id
from gateway.model import Message, OnBusy, Run, RunState
from gateway.store.dynamo import DynamoStore
from tests.conftest import settings_for
from tests.gateway.fault_proxy import FaultProxy, Faults
from tests.gateway.store.store_samples import LEASE, frames, message, new_run, numbered, read, session
from tests.gateway.store.store_table import RETRY_SECONDS, patiently

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OPEN = (RunState.PENDING, RunState.RUNNING)
NOISE = random.Random(4).randbytes(60_000).hex()
LARGE = 5  # so many frames of noise do not fit one item
GATEWAYS = ("g1", "g2")
FAULTS = {
    "none": Faults(),
    "throttled": Faults(throttle=0.5),
    "failing": Faults(error=0.3, cut=0.3),
    "losing": Faults(lost=0.5),
    "crash": Faults(lost=1),
    "late": Faults(zombie=1, hold_seconds=0.02),
}
"""Under `crash` and `late` a gateway tries once and never learns what became of it."""


@dataclass(frozen=True)
class Act:
    """Something that happens: `who` does it (a gateway, or the handle of that number), `what` and how much."""

    what: str
    who: int
    much: int


ACTS = st.builds(
    Act,
    what=st.sampled_from(
        ["append"] * 4
        + ["sweep"] * 3
        + ["submit"] * 2
        + ["finish"] * 2
        + ["running", "renew", "release", "stop"]
    ),
    who=st.integers(0, 5),
    much=st.integers(0, 5),
)


class World:
    """What outlives one example: the loop, the proxy, and the stores of two gateways and an observer."""

    def __init__(self, endpoint: str) -> None:
        self.runner = asyncio.Runner()
        self.now = time.time()
        config = settings_for(endpoint, f"machine-{new_id()}")
        self.observer = DynamoStore(config, clock=lambda: self.now, retry_seconds=RETRY_SECONDS)
        self.runner.run(self.observer.open())
        self.proxy = FaultProxy(endpoint, seed=11)
        self.runner.run(self.proxy.__aenter__())
        behind = settings_for(self.proxy.url, config.table)
        self.gateway = DynamoStore(behind, clock=lambda: self.now, retry_seconds=30)
        self.crashing = DynamoStore(behind, clock=lambda: self.now, retry_seconds=0)
        with patiently(self.gateway, self.crashing):
            self.runner.run(self.gateway.open())
            self.runner.run(self.crashing.open())

    def close(self) -> None:
        for store in (self.observer, self.gateway, self.crashing):
            self.runner.run(store.close())
        self.runner.run(self.proxy.__aexit__(None, None, None))
        self.runner.close()


@pytest.fixture(scope="module")
def world(dynamodb_endpoint: str) -> Iterator[World]:
    made = World(dynamodb_endpoint)
    yield made
    made.close()


class Machine(RuleBasedStateMachine):
    """One session of the world."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.session = new_id()
        self.handles: list[Run] = []
        self.admitted: dict[str, str] = {}
        self.seen: dict[str, tuple[Run, bytes]] = {}
        world.runner.run(world.observer.create_session(session(self.session)))
        world.runner.run(self._submit(world.observer, "m0", OnBusy.QUEUE, "g1"))

    # -- what happens --
    @rule(acts=st.lists(ACTS, min_size=1, max_size=3), fault=st.sampled_from(sorted(FAULTS)))
    def together(self, acts: list[Act], fault: str) -> None:
        self.world.runner.run(self._together(acts, fault))

    @rule(seconds=st.sampled_from([1.0, LEASE, 3 * LEASE]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds

    async def _together(self, acts: list[Act], fault: str) -> None:
        self.world.proxy.faults = FAULTS[fault]
        store = self.world.crashing if fault in ("crash", "late") else self.world.gateway
        async with asyncio.TaskGroup() as tasks:
            for act in acts:
                tasks.create_task(self._act(store, act))
        self.world.proxy.faults = Faults()
        await self.world.proxy.settle()

    async def _act(self, store: DynamoStore, act: Act) -> None:
        if act.what == "submit":
            doing = self._submit(store, f"m{act.much}", list(OnBusy)[act.who % 3], GATEWAYS[act.who % 2])
        elif act.what == "sweep":
            doing = self._sweep(store, GATEWAYS[act.who % 2], act.much)
        elif not self.handles:
            return
        else:
            doing = getattr(self, f"_{act.what}")(
                store, self.handles[-1 - act.who % len(self.handles)], act.much
            )
        with suppress(StoreUnavailable):
            await doing

    async def _submit(self, store: DynamoStore, name: str, on_busy: OnBusy, gateway: str) -> None:
        new, known = new_run(self.session, name), name in self.admitted
        try:
            admission = await store.create_run(
                new, on_busy=on_busy, queue_limit=2, gateway=gateway, lease_seconds=LEASE
            )
        except (SessionBusy, QueueFull):
            assert not known
            return
        assert self.admitted.setdefault(name, admission.run.id) == admission.run.id
        assert admission.duplicate == (admission.run.id != new.id)
        if not admission.duplicate and not admission.position:
            self.handles.append(admission.run)

    async def _sweep(self, store: DynamoStore, gateway: str, much: int) -> None:
        if much % 2:  # whoever holds a lease was paused for longer than it lasts
            self.world.now += 2 * LEASE
        for run in await store.expired_runs(now=self.world.now):
            if run.session == self.session:
                taken = await store.take_lease(run, gateway=gateway, lease_seconds=LEASE, now=self.world.now)
                if taken is not None:
                    assert (taken.lease_owner, taken.generation) == (gateway, run.generation + 1)
                    self.handles.append(taken)

    async def _fenced(self, handle: Run, doing: Callable[[], Any]) -> Any:
        """The result of a fenced operation: never a success for a lease that had been taken over before."""
        before = await self.world.observer.get_run(self.session, handle.id)
        result = await doing()
        if before.generation > handle.generation:
            assert result is None
        if isinstance(result, Run):
            self.handles.append(result)
        return result

    async def _running(self, store: DynamoStore, handle: Run, _: int) -> None:
        await self._fenced(handle, lambda: store.mark_running(handle))

    async def _renew(self, store: DynamoStore, handle: Run, _: int) -> None:
        await self._fenced(handle, lambda: store.renew_lease(handle, lease_seconds=LEASE, now=self.world.now))

    async def _release(self, store: DynamoStore, handle: Run, _: int) -> None:
        await store.release_lease(handle)

    async def _append(self, store: DynamoStore, handle: Run, much: int) -> None:
        first, last = handle.recorded + 1, handle.recorded + 1 + much
        text = f"by {handle.generation} {NOISE if much == LARGE else ''}"
        group = frames(handle.id, first, last, text=text)
        await self._fenced(handle, lambda: store.append_frames(handle, first=first, last=last, frames=group))

    async def _finish(self, store: DynamoStore, handle: Run, much: int) -> None:
        state = (RunState.STOPPED, RunState.FAILED, RunState.LOST, RunState.COMPLETED)[much % 4]
        answer = message(self.session, f"a-{handle.id}", content=f"by {handle.generation}", created_at=2e9)
        gateway = handle.lease_owner

        async def finish() -> Any:
            try:
                return await store.finish_run(
                    handle,
                    state=state,
                    reason=state.value,
                    message=answer,
                    gateway=gateway,
                    lease_seconds=LEASE,
                )
            except Conflict:
                assert state is RunState.COMPLETED
                return None

        ended = await self._fenced(handle, finish)
        if ended is not None:
            assert ended[0].state.final
            if ended[1] is not None:
                self.handles.append(ended[1])

    async def _stop(self, store: DynamoStore, handle: Run, much: int) -> None:
        runs = await self.world.observer.list_runs(self.session)
        run = runs.items[much % len(runs.items)]
        stopped = await store.request_stop(self.session, run.id)
        assert stopped.state.final or stopped.stop_requested

    # -- what must hold --
    @invariant()
    def everything_is_in_order(self) -> None:
        self.world.runner.run(self._check())

    async def _check(self) -> None:
        observer = self.world.observer
        chat, page, messages = await asyncio.gather(
            observer.get_session(self.session),
            observer.list_runs(self.session),
            observer.list_messages(self.session),
        )
        runs = {run.id: run for run in page.items}
        self._check_admission(runs, messages.items)
        active = [run.id for run in runs.values() if run.state in OPEN]
        assert active == ([chat.active_run] if chat.active_run else [])
        assert len(set(chat.queue)) == len(chat.queue) <= 2
        assert set(chat.queue) == {run.id for run in runs.values() if run.state is RunState.QUEUED}
        assert not chat.queue or chat.active_run
        for run in runs.values():
            await self._check_run(run, {item.id: item for item in messages.items})

    def _check_admission(self, runs: dict[str, Run], messages: tuple[Message, ...]) -> None:
        prompts = {
            item.id: item.run for item in messages if item.role == "user" and not item.id.startswith("a-")
        }
        assert sorted(prompts.values()) == sorted(runs)
        assert all(runs[run].message == name for name, run in prompts.items())
        assert self.admitted.items() <= prompts.items()

    async def _check_run(self, run: Run, messages: dict[str, Message]) -> None:
        recorded = await read(self.world.observer, run)
        assert numbered(recorded) == list(range(1, run.recorded + 1))
        writers = [int(found) for found in re.findall(rb"by (\d+)", recorded)]
        assert writers == sorted(writers)
        assert all(writer <= run.generation for writer in writers)
        answer = messages.get(f"a-{run.id}")
        if answer is not None:
            assert run.state.final
            assert answer.content == f"by {run.generation}"
        if run.id in self.seen:
            before, frames_before = self.seen[run.id]
            assert recorded.startswith(frames_before)
            assert run.generation >= before.generation
            if before.state.final:
                assert (run, recorded) == (before, frames_before)
        self.seen[run.id] = run, recorded

    # -- how it ends --
    def teardown(self) -> None:
        self.world.runner.run(self._drain())

    async def _drain(self) -> None:
        """A sweeper alone brings every run to its end, the queue's in their order."""
        observer = self.world.observer
        for _ in range(20):
            chat = await observer.get_session(self.session)
            if chat.active_run is None:
                break
            self.world.now += 2 * LEASE
            (run,) = [
                run for run in await observer.expired_runs(now=self.world.now) if run.session == self.session
            ]
            assert run.id == chat.active_run
            taken = await observer.take_lease(run, gateway="g3", lease_seconds=LEASE, now=self.world.now)
            assert taken is not None
            ended = await observer.finish_run(
                taken, state=RunState.LOST, reason="lost", message=None, gateway="g3", lease_seconds=LEASE
            )
            assert ended is not None
            assert (ended[1].id if ended[1] else None) == (chat.queue[0] if chat.queue else None)
        await self._check()
        assert all(run.state.final for run in (await observer.list_runs(self.session)).items)
        await observer.delete_session(self.session)
        assert not [run for run in await observer.expired_runs(now=2e10) if run.session == self.session]


@pytest.mark.timeout(240)  # a loaded machine takes its time; an idle one some ten seconds
def test_any_interleaving_keeps_the_promise(world: World) -> None:
    class InWorld(Machine):
        def __init__(self) -> None:
            super().__init__(world)

    run_state_machine_as_test(
        InWorld,
        settings=settings(
            max_examples=10,
            stateful_step_count=20,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
