"""The DynamoDB store behind a proxy that throttles, fails, is late and loses answers."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import StoreUnavailable
from gateway.model import OnBusy, RunState
from gateway.store.dynamo import DynamoStore
from tests.conftest import free_port
from tests.gateway.fault_proxy import FaultProxy, Faults
from tests.gateway.store.store_samples import (
    LEASE,
    admit,
    finish,
    frames,
    message,
    new_run,
    numbered,
    read,
    session,
)
from tests.gateway.store.store_table import lose_answers_to, through

if TYPE_CHECKING:
    from gateway.config import Settings

NOISE = random.Random(9).randbytes(500_000).hex()


@pytest.fixture
def store(shared_store: DynamoStore) -> DynamoStore:
    """One client and one table serve the whole module."""
    return shared_store


class TestUnknownOutcomes:
    """Answers that are lost after the work was done: the caller calls again, and nothing is done twice."""

    async def test_each_call_again_after_its_answer_was_lost(
        self, store: DynamoStore, shared_settings: Settings, fault_proxy: FaultProxy
    ) -> None:
        async with through(fault_proxy, shared_settings, retry_seconds=0.0) as weak:

            async def twice(call: Any) -> Any:
                fault_proxy.faults = Faults(lost=1)
                for _ in range(6):  # each attempt gets one request further
                    with pytest.raises(StoreUnavailable):
                        await call()
                fault_proxy.faults = Faults()
                return await call()

            made = await twice(lambda: weak.create_session(session("s1")))
            assert made == session("s1")
            first, second = new_run("s1", "m1"), new_run("s1", "m2")
            fault_proxy.faults = Faults()
            for new, place in ((first, 0), (second, 1)):
                admission = await self._admit_losing_the_transaction(weak, fault_proxy, new)
                assert (admission.run.id, admission.position, admission.duplicate) == (new.id, place, False)
            run = await weak.get_run("s1", first.id)
            run = await twice(lambda: weak.mark_running(run))
            run = await twice(lambda: weak.append_frames(run, first=1, last=9, frames=frames(run.id, 1, 9)))
            assert run.recorded == 9
            assert await twice(lambda: weak.renew_lease(run, lease_seconds=9, now=time.time())) is not None
            assert (await twice(lambda: weak.request_stop("s1", run.id))).stop_requested
            ended, promoted = await self._finish_losing_the_transaction(weak, fault_proxy, run)
            assert (ended.state, promoted.id, promoted.state) == (
                RunState.STOPPED,
                second.id,
                RunState.PENDING,
            )
        assert numbered(await read(store, run)) == list(range(1, 10))
        assert [item.id for item in (await store.list_messages("s1")).items] == ["m1", "m2", "a1"]
        found = await store.get_session("s1")
        assert (found.active_run, found.queue, found.sdk_session_id) == (second.id, (), "sdk")

    async def _admit_losing_the_transaction(
        self, weak: DynamoStore, fault_proxy: FaultProxy, new: Any
    ) -> Any:
        async def create() -> Any:
            return await weak.create_run(
                new, on_busy=OnBusy.QUEUE, queue_limit=5, gateway="g1", lease_seconds=LEASE
            )

        with lose_answers_to(fault_proxy, "TransactWriteItems"), pytest.raises(StoreUnavailable):
            await create()
        return await create()

    async def _finish_losing_the_transaction(
        self, weak: DynamoStore, fault_proxy: FaultProxy, run: Any
    ) -> Any:
        answer = message(
            "s1", "a1", content=NOISE, created_at=time.time() + 9e8, meta={"sdkSessionId": "sdk"}
        )
        with lose_answers_to(fault_proxy, "TransactWriteItems"), pytest.raises(StoreUnavailable):
            await finish(weak, run, answer=answer)
        return await finish(weak, run, answer=answer)

    async def test_a_lost_answer_within_a_call_is_no_lost_lease(
        self, store: DynamoStore, shared_settings: Settings, fault_proxy: FaultProxy
    ) -> None:
        async with through(fault_proxy, shared_settings, retry_seconds=30.0) as patient:
            fault_proxy.faults = Faults(lost=0.5)
            for number in range(8):
                name = f"s{number}"
                await patient.create_session(session(name))
                admission = await admit(patient, name, "m1", on_busy=OnBusy.REJECT)
                assert not admission.duplicate
                run = await patient.take_lease(
                    admission.run, gateway="g1", lease_seconds=LEASE, now=time.time()
                )
                assert run is not None
                assert run.generation == 2
                run = await patient.append_frames(run, first=1, last=2, frames=frames(run.id, 1, 2))
                assert run is not None
                assert await patient.put_message(message(name, "m2"))
                await patient.put_ticket(f"t{number}", {"n": number}, expires_at=time.time() + 60)
                assert await patient.take_ticket(f"t{number}", now=time.time()) == {"n": number}
                assert await finish(patient, run, answer=message(name, "a1")) is not None
        assert fault_proxy.done["lost"] > 20

    async def test_a_request_that_arrives_late_writes_nothing(
        self, store: DynamoStore, shared_settings: Settings, fault_proxy: FaultProxy
    ) -> None:
        await store.create_session(session("s1"))
        run = (await admit(store, "s1", "m1")).run
        async with through(fault_proxy, shared_settings, retry_seconds=0.0) as weak:
            fault_proxy.faults = Faults(zombie=1, hold_seconds=3600)
            for attempt in (
                weak.append_frames(run, first=1, last=2, frames=frames(run.id, 1, 2)),
                weak.append_frames(run, first=1, last=9, frames=frames(run.id, 1, 9)),
                weak.renew_lease(run, lease_seconds=900, now=time.time()),
            ):
                with pytest.raises(StoreUnavailable):
                    await attempt
            new = await store.take_lease(run, gateway="g2", lease_seconds=5, now=run.lease_until + 1)
            assert new is not None
            await store.append_frames(new, first=1, last=4, frames=frames(run.id, 1, 4))
            fault_proxy.release()
            await fault_proxy.settle()
        assert await read(store, run) == frames(run.id, 1, 4)
        assert await store.get_run("s1", run.id) == replace(new, recorded=4)


class TestAvailability:
    """Throttling, faults and absence."""

    async def test_bounded_faults_are_ridden_out(
        self, store: DynamoStore, shared_settings: Settings, fault_proxy: FaultProxy
    ) -> None:
        async with through(fault_proxy, shared_settings, retry_seconds=30.0) as patient:
            fault_proxy.faults = Faults(throttle=0.2, error=0.1, cut=0.1, lost=0.1, partial=0.2, latency_ms=5)
            await patient.create_session(session("s1"))
            admitted = await asyncio.gather(
                *(admit(patient, "s1", f"m{n}", queue_limit=20) for n in range(8))
            )
            assert sorted(item.position for item in admitted) == list(range(8))
            large = message("s1", "large", content=NOISE, created_at=time.time() + 9e8)
            assert await patient.put_message(large)
            assert (await patient.list_messages("s1")).items[-1] == large
            for n in range(9):
                await patient.create_session(session(f"t{n}", owner="carol"))
            assert len((await patient.list_sessions("carol")).items) == 9
        assert all(fault_proxy.done[kind] for kind in ("throttle", "error", "cut", "lost", "partial"))

    @pytest.mark.parametrize("kind", ["throttle", "error", "cut"])
    async def test_what_lasts_is_told_within_the_deadline(
        self, shared_settings: Settings, fault_proxy: FaultProxy, kind: str
    ) -> None:
        async with through(fault_proxy, shared_settings, retry_seconds=1.0) as opened:
            fault_proxy.faults = Faults(**{kind: 1})
            for attempt in (opened.ping(), opened.get_session("s1"), opened.put_settings("alice", {})):
                with pytest.raises(StoreUnavailable):
                    await attempt
        assert fault_proxy.done[kind] > 3

    async def test_no_store_at_all(self, shared_settings: Settings) -> None:
        away = DynamoStore(
            replace(shared_settings, dynamodb_endpoint=f"http://127.0.0.1:{free_port()}"), retry_seconds=0.2
        )
        with pytest.raises(StoreUnavailable):
            await away.ping()
        with pytest.raises(StoreUnavailable):
            await away.open()
        await away.close()

    async def test_a_store_without_its_table_does_not_open(self, shared_settings: Settings) -> None:
        opened = DynamoStore(replace(shared_settings, table="nowhere", table_create=False))
        with pytest.raises(StoreUnavailable, match="ResourceNotFound"):
            await opened.open()
        await opened.close()
        await opened.close()
