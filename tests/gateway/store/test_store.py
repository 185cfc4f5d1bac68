"""The DynamoDB store on DynamoDB Local: the conformance suite, and what only this store promises."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import RunNotFound, SessionGone, SessionNotFound, StoreUnavailable
from gateway.store import keys, messages
from gateway.store.dynamo import DynamoStore
from gateway.store.schema import definition
from tests.gateway.fault_proxy import FaultProxy, Faults
from tests.gateway.store.store_conformance import StoreConformance
from tests.gateway.store.store_samples import admit, finish, frames, message, numbered, read, session
from tests.gateway.store.store_table import kinds, scan, through

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.config import Settings
    from gateway.model import Run

DAY = 86_400.0
NOISE = random.Random(9).randbytes(500_000).hex()


@pytest.fixture
def store(shared_store: DynamoStore) -> DynamoStore:
    """One client and one table serve the whole module."""
    return shared_store


class TestDynamoStore(StoreConformance):
    """`DynamoStore` on DynamoDB Local."""


class TestPlainStore(StoreConformance):
    """The same with `encrypt` off."""

    @pytest.fixture
    async def store(self, shared_settings: Settings, shared_store: DynamoStore) -> AsyncIterator[DynamoStore]:
        opened = DynamoStore(replace(shared_settings, encrypt=False))
        await opened.open()
        yield opened
        await opened.close()


class TestLifetime:
    """Expiry is decided on reading: DynamoDB deletes late."""

    async def test_a_session_and_what_is_in_it_expires_together(
        self, store: DynamoStore, shared_settings: Settings
    ) -> None:
        now = time.time()
        later = DynamoStore(shared_settings, clock=lambda: now + 7 * DAY + 60)
        await later._table.connect()
        await store.create_session(session("s1"))
        run = (await admit(store, "s1", "m1")).run
        await finish(store, run)
        await store.put_message(message("s1", "m2"))
        with pytest.raises(SessionNotFound):
            await later.get_session("s1")
        assert (await later.list_sessions("alice")).items == ()
        assert (await later.list_messages("s1")).items == ()
        assert (await later.list_runs("s1")).items == ()
        assert await later.get_message("s1", "m1") is None
        again = await later.create_session(session("s1", title="anew"))
        assert (await later.get_session("s1")) == again
        await later.close()

    async def test_activity_keeps_a_session(self, store: DynamoStore, shared_settings: Settings) -> None:
        now = time.time()
        later = DynamoStore(shared_settings, clock=lambda: now + 6 * DAY)
        last = DynamoStore(shared_settings, clock=lambda: now + 12 * DAY)
        await asyncio.gather(later._table.connect(), last._table.connect())
        await store.create_session(session("s1"))
        await store.put_message(message("s1", "old"))
        await later.put_message(message("s1", "new"))
        assert (await last.get_session("s1")).id == "s1"
        assert [item.id for item in (await last.list_messages("s1")).items] == ["new"]
        await asyncio.gather(later.close(), last.close())

    async def test_every_item_of_an_ended_run_has_a_ttl_and_an_open_run_has_none(
        self, store: DynamoStore
    ) -> None:
        await store.create_session(session("s1"))
        run = (await admit(store, "s1", "m1")).run
        await store.append_frames(run, first=1, last=1, frames=frames(run.id, 1, 1))

        async def lasting() -> list[str]:
            items = [item for item in await scan(store) if item["pk"]["S"] != keys.KEYS]
            return sorted(item["sk"]["S"].split("#")[0] for item in items if "expires_at" not in item)

        assert await lasting() == ["RUN", "SESSION"]
        await finish(store, run, answer=message("s1", "a1", content=NOISE))
        assert await lasting() == ["SESSION"]

    @pytest.mark.parametrize("last", [10, 20, 30])
    async def test_frames_that_have_expired_are_missed_and_not_passed_over(
        self, store: DynamoStore, last: int
    ) -> None:
        await store.create_session(session("s1"))
        run = (await admit(store, "s1", "m1")).run
        for first in (1, 11, 21):
            group = frames(run.id, first, first + 9)
            run = await store.append_frames(run, first=first, last=first + 9, frames=group) or run
        await store._table.write_many(deletes=[keys.log("s1", run.id, last)])
        with pytest.raises(RunNotFound, match=f"{last - 9} to {last} .* have expired"):
            await read(store, run)
        if last < 30:
            assert numbered(await read(store, run, after=last)) == list(range(last + 1, 31))

    async def test_queued_runs_that_vanished_are_passed_over(self, store: DynamoStore) -> None:
        await store.create_session(session("s1"))
        active, *queued = [(await admit(store, "s1", f"m{n}")).run for n in range(5)]
        await store._table.write_many(deletes=[("SESSION#s1", f"RUN#{run.id}") for run in queued[:2]])
        ended = await finish(store, active)
        assert ended is not None
        assert ended[1] is not None
        assert ended[1].id == queued[2].id
        found = await store.get_session("s1")
        assert (found.active_run, found.queue) == (queued[2].id, (queued[3].id,))

    async def test_a_listing_forgets_entries_whose_session_dynamodb_has_deleted(
        self, store: DynamoStore
    ) -> None:
        await store.create_session(session("s1"))
        await store.create_session(session("s2"))
        await store._table.write_many(deletes=[("SESSION#s1", "META")])
        assert [item.id for item in (await store.list_sessions("alice")).items] == ["s2"]
        assert await kinds(store) == ["META", "SESSION"]


class TestLoop:
    """What takes long is done beside the event loop."""

    async def test_large_messages_are_packed_and_unpacked_in_threads(
        self, store: DynamoStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        done: list[tuple[str, bool]] = []

        def watched(name: str, work: Callable[[Any], Any]) -> Callable[[Any], Any]:
            def call(what: Any) -> Any:
                done.append((name, threading.current_thread() is threading.main_thread()))
                return work(what)

            return call

        for name in ("pack", "unpack"):
            monkeypatch.setattr(messages, name, watched(name, getattr(messages, name)))
        await store.create_session(session("s1"))
        await store.put_message(message("s1", "long", content=NOISE))
        await store.put_message(message("s1", "parts", parts=({"type": "text", "text": "x"},)))
        assert (await store.get_message("s1", "long")) is not None
        assert len((await store.list_messages("s1")).items) == 2
        assert done == [("pack", False)] * 2 + [("unpack", False)] * 3


class TestDeletion:
    """Deleting leaves nothing, however often it is cut short."""

    async def test_a_deletion_cut_short_is_finished_by_the_next(
        self, store: DynamoStore, shared_settings: Settings, fault_proxy: FaultProxy
    ) -> None:
        await store.create_session(session("s1"))
        run = (await admit(store, "s1", "m1")).run
        await admit(store, "s1", "m2")
        await store.put_message(message("s1", "large", content=NOISE))
        for number in range(60):
            await store.put_message(message("s1", f"x{number}"))
        attempts = 0
        async with through(fault_proxy, shared_settings, retry_seconds=0.0) as weak:
            fault_proxy.faults = Faults(cut=0.1, lost=0.1, partial=0.1)
            while True:
                attempts += 1
                try:
                    await weak.delete_session("s1")
                    break
                except StoreUnavailable:
                    if any(
                        item["sk"]["S"] == "META" and item["deleting"]["BOOL"] for item in await scan(store)
                    ):
                        with pytest.raises(SessionGone):
                            await admit(store, "s1", f"n{attempts}")
        assert attempts > 1
        assert await kinds(store) == []
        assert await store.append_frames(run, first=1, last=1, frames=frames(run.id, 1, 1)) is None

    async def test_a_recorder_that_writes_on_leaves_nothing_behind(self, store: DynamoStore) -> None:
        await store.create_session(session("s1"))
        run: Run | None = (await admit(store, "s1", "m1")).run
        started = asyncio.Event()

        async def record(run: Run | None) -> int:
            appended = 0
            while run is not None:
                appended = seq = run.recorded + 1
                if seq == 5:
                    started.set()
                run = await store.append_frames(run, first=seq, last=seq, frames=frames(run.id, seq, seq))
            return appended

        recording = asyncio.create_task(record(run))
        await started.wait()
        await store.delete_session("s1")
        assert await recording >= 5
        assert await kinds(store) == []

    async def test_a_fenced_or_refused_large_write_leaves_no_pieces(self, store: DynamoStore) -> None:
        await store.create_session(session("s1"))
        old = (await admit(store, "s1", "m1")).run
        new = await store.take_lease(old, gateway="g2", lease_seconds=5, now=old.lease_until + 1)
        assert new is not None
        lines = b"".join(frames(old.id, seq, seq, text=NOISE[seq : seq + 200_000]) for seq in range(1, 9))
        before = await kinds(store)
        assert await store.append_frames(old, first=1, last=8, frames=lines) is None
        assert await finish(store, old, answer=message("s1", "a1", content=NOISE)) is None
        assert not await store.put_message(message("s1", "m1", content=NOISE))
        with pytest.raises(SessionNotFound):
            await store.put_message(message("s2", "m1", content=NOISE))
        assert (await admit(store, "s1", "m1", prompt=NOISE)).duplicate
        assert await kinds(store) == before


class TestSchema:
    """The table is the one that gateway/table.json says."""

    async def test_gateways_that_start_at_once_make_one_table(self, store_settings: Settings) -> None:
        stores = [DynamoStore(store_settings) for _ in range(3)]
        await asyncio.gather(*(opened.open() for opened in stores))
        table = (await stores[0]._table.call("describe_table", TableName=store_settings.table))["Table"]
        ttl = await stores[0]._table.call("describe_time_to_live", TableName=store_settings.table)
        expected = definition()
        assert ttl["TimeToLiveDescription"] == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}
        assert table["KeySchema"] == expected["KeySchema"]
        assert table["BillingModeSummary"]["BillingMode"] == expected["BillingMode"] == "PAY_PER_REQUEST"
        (index,) = table["GlobalSecondaryIndexes"]
        (wanted,) = expected["GlobalSecondaryIndexes"]
        assert {name: index[name] for name in ("IndexName", "KeySchema")} == {
            name: wanted[name] for name in ("IndexName", "KeySchema")
        }
        assert sorted(index["Projection"]["NonKeyAttributes"]) == sorted(
            wanted["Projection"]["NonKeyAttributes"]
        )
        await asyncio.gather(*(opened.close() for opened in stores))
