"""A run under its lease: renewals that nothing holds up, and a stop that is not forgotten."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from gateway.errors import RunNotFound, StoreUnavailable
from gateway.model import RunState
from gateway.runs.recording.run_lease import LeaseLost, RunLease
from tests.gateway.fakes import FakeStore, a_run, quick_settings, until, working

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def leased(store: FakeStore) -> RunLease:
    return RunLease(store.run, settings=quick_settings(), store=store, gateway="g1")  # type: ignore[arg-type]


async def test_a_stop_that_hangs_does_not_hold_up_the_renewals() -> None:
    store = FakeStore(a_run(RunState.RUNNING, stop_requested=True))
    asked = 0

    async def hang() -> None:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()

    async with working(leased(store).renew_forever(hang, lambda: False)):
        await until(lambda: asked)
        renewed = len(store.renewed_at)
        await until(lambda: len(store.renewed_at) > renewed + 2)
    assert asked == 1


async def test_a_stop_that_the_store_has_not_heard_of_is_repeated_and_kept() -> None:
    store, asked = FakeStore(a_run()), 0
    run = leased(store)
    run.note_stop()

    async def stop() -> None:
        nonlocal asked
        asked += 1

    await run.mark_running()
    assert (run.run.state, run.run.stop_requested) == (RunState.RUNNING, True)
    async with working(run.renew_forever(stop, lambda: False)):
        await until(lambda: asked > 1)


async def test_a_lease_is_confirmed_from_the_moment_that_the_store_answers() -> None:
    store = FakeStore(a_run())
    store.away = StoreUnavailable("away")
    async with working(leased(store).confirm()) as confirming:
        await until(lambda: store.renewed_at)
        back, store.away = time.time(), None
        await confirming
    assert store.renewed_at[-1] >= back


async def test_frames_that_have_expired_end_a_takeover() -> None:
    class Holey(FakeStore):
        async def read_frames(self, _session: str, _run: str, *, after: int = 0) -> AsyncIterator[bytes]:
            for _ in ():
                yield b""
            raise RunNotFound("expired")

    with pytest.raises(LeaseLost):
        _ = [chunk async for chunk in leased(Holey(a_run(recorded=3))).recorded()]


@pytest.mark.parametrize(("sound", "left"), [(False, 2), (True, 0)])
async def test_takeovers_are_forgotten_once_the_sandbox_was_read_for_long(sound: bool, left: int) -> None:
    store = FakeStore(a_run(RunState.RUNNING, takeovers=2))
    run = leased(store)

    async def nothing() -> None:
        """No stop is asked for."""

    async with working(run.renew_forever(nothing, lambda: sound)):
        await until(lambda: len(store.renewed_at) > 2)
    assert (store.run.takeovers, run.run.takeovers) == (left, left)
