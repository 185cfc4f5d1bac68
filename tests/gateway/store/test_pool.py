"""The pool's rows: from when on they count, that a claim is made once, and that a second attempt is no second claim."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.ids import new_id
from gateway.store import keys
from gateway.store.client import Table
from gateway.store.dynamo import DynamoStore
from gateway.store.pool import SETTLE_SECONDS, Member, Place, PlaceChanged
from tests.gateway.fault_proxy import FaultProxy
from tests.gateway.stack import settings_for
from tests.gateway.store.store_table import RETRY_SECONDS, kinds, lose_answers_to, through

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.store.requests import Write

READY = Member(
    id="pool-1",
    fingerprint="f",
    since=1.5,
    ready=True,
    host="10.0.0.1",
    port=8765,
    started_at=1764421234.123456,
)


@asynccontextmanager
async def opened(endpoint: str, table: str, size: int, **changes: Any) -> AsyncIterator[DynamoStore]:
    """A gateway's store."""
    settings = settings_for(endpoint, table, pool_size=size, **changes)
    store = DynamoStore(settings, retry_seconds=RETRY_SECONDS)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(dynamodb_endpoint: str) -> AsyncIterator[DynamoStore]:
    async with opened(dynamodb_endpoint, f"test-{new_id()}", 1) as store:
        yield store


async def test_a_table_that_begins_with_a_pool_has_it_from_the_first_session_on(store: DynamoStore) -> None:
    assert store.pool.since == 0.0


async def test_a_pool_that_is_new_to_a_table_waits_and_is_never_forgotten(dynamodb_endpoint: str) -> None:
    table = f"test-{new_id()}"
    async with opened(dynamodb_endpoint, table, 0) as without:
        assert without.pool.since is None
        async with opened(dynamodb_endpoint, table, 2) as first:
            since = first.pool.since
            assert since is not None
            assert time.time() < since <= time.time() + SETTLE_SECONDS
            for size in (3, 0):
                async with opened(dynamodb_endpoint, table, size) as later:
                    assert later.pool.since == since


async def test_it_waits_for_gateways_that_are_protected_as_well(dynamodb_endpoint: str) -> None:
    table, protected = f"test-{new_id()}", 2 * SETTLE_SECONDS
    async with opened(dynamodb_endpoint, table, 0):
        before = time.time()
        changes = {"driver": "ecs", "protect_minutes": protected / 60}
        async with opened(dynamodb_endpoint, table, 2, **changes) as first:
            assert (first.pool.since or 0) >= before + protected + SETTLE_SECONDS


async def test_members_are_read_as_they_were_written(store: DynamoStore) -> None:
    begun = replace(READY, ready=False, host="", port=0, started_at=0.0)
    await store.pool.add(begun)
    assert await store.pool.members() == [begun]
    assert await store.pool.make_ready(READY)
    assert await store.pool.members() == [READY]
    assert await store.pool.drop(READY.id)
    assert not await store.pool.drop(READY.id)
    assert not await store.pool.make_ready(READY)
    assert await store.pool.members() == []


async def test_fifty_sessions_at_once_claim_one_member_once(store: DynamoStore) -> None:
    await store.pool.add(READY)
    found = await asyncio.gather(
        *(store.pool.claim(READY, f"session-{n}", before=None) for n in range(50)), return_exceptions=True
    )
    (winner,) = [n for n, place in enumerate(found) if place is not None]
    assert [one for one in found if isinstance(one, BaseException)] == []
    assert await store.pool.sessions_of([READY.id, "pool-2"]) == {READY.id: f"session-{winner}"}
    for n in range(50):
        place = await store.pool.place(f"session-{n}")
        assert (place is not None and place.member == READY.id) is (n == winner)
    assert await store.pool.members() == []


async def test_a_crowd_claims_in_few_transactions_and_who_fails_fails_alone(
    store: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    transact = Table.transact

    async def counted(table: Table, writes: Sequence[Write]) -> None:
        sizes.append(len(writes))
        await transact(table, writes)

    monkeypatch.setattr(Table, "transact", counted)
    members = [replace(READY, id=f"pool-{n}", ready=n != 40) for n in range(50)]
    for member in members:
        await store.pool.add(member)
    found = await asyncio.gather(
        *(store.pool.claim(member, f"session-{n}", before=None) for n, member in enumerate(members[:33]))
    )
    assert all(found)
    assert sizes == [99]
    found = await asyncio.gather(
        *(store.pool.claim(member, f"session-{n}", before=None) for n, member in enumerate(members) if n > 32)
    )
    assert [n for n, place in enumerate(found, 33) if place is None] == [40]
    assert sizes == [99, 51] + [3] * 16
    assert await store.pool.sessions_of([member.id for member in members]) == {
        f"pool-{n}": f"session-{n}" for n in range(50) if n != 40
    }
    assert [member.id for member in await store.pool.members()] == ["pool-40"]


async def test_one_session_claims_one_of_many_members(store: DynamoStore) -> None:
    members = [replace(READY, id=f"pool-{n}") for n in range(8)]
    for member in members:
        await store.pool.add(member)
    found = await asyncio.gather(
        *(store.pool.claim(member, "s", before=None) for member in members), return_exceptions=True
    )
    assert sum(isinstance(one, Place) for one in found) == 1
    assert sum(isinstance(one, PlaceChanged) for one in found) == 7
    assert len(await store.pool.members()) == 7


@pytest.mark.parametrize("changed", [{"ready": False}, {"fingerprint": "g"}])
async def test_one_that_is_not_ready_or_of_another_kind_is_not_claimed(
    store: DynamoStore, changed: dict[str, object]
) -> None:
    await store.pool.add(replace(READY, **changed))  # type: ignore[arg-type]
    assert await store.pool.claim(READY, "s", before=None) is None
    assert await store.pool.place("s") is None


async def test_a_session_moves_only_from_where_it_is_known_to_be(store: DynamoStore) -> None:
    await store.pool.add(READY)
    own = await store.pool.place_own("s", before=None)
    with pytest.raises(PlaceChanged):
        await store.pool.place_own("s", before=None)
    moved = await store.pool.claim(READY, "s", before=own)
    assert moved is not None
    with pytest.raises(PlaceChanged):
        await store.pool.place_own("s", before=own)
    back = await store.pool.place_own("s", before=moved)
    assert await store.pool.place("s") == back
    assert await store.pool.sessions_of([READY.id]) == {}


async def test_a_forgotten_session_leaves_nothing(store: DynamoStore) -> None:
    await store.pool.add(READY)
    place = await store.pool.claim(READY, "s", before=None)
    assert place is not None
    assert await kinds(store) == ["SANDBOX", "SESSION"]
    await store.pool.forget("s", place)
    await store.pool.forget("s", place)
    assert await kinds(store) == []


async def test_one_gateway_leads_until_its_time_is_over_or_it_leaves(store: DynamoStore) -> None:
    assert await store.pool.lead("a", seconds=10, now=100)
    assert await store.pool.lead("a", seconds=10, now=105)
    assert not await store.pool.lead("b", seconds=10, now=114)
    assert await store.pool.lead("b", seconds=10, now=116)
    await store.pool.leave("a")
    assert not await store.pool.lead("a", seconds=10, now=117)
    await store.pool.leave("b")
    assert await store.pool.lead("a", seconds=10, now=117)


async def test_a_claim_whose_answer_is_lost_is_made_once(dynamodb_endpoint: str) -> None:
    settings = settings_for(dynamodb_endpoint, f"test-{new_id()}", pool_size=1)
    async with (
        opened(dynamodb_endpoint, settings.table, 1) as direct,
        FaultProxy(dynamodb_endpoint) as proxy,
        through(proxy, settings, RETRY_SECONDS) as store,
    ):
        await direct.pool.add(READY)
        with lose_answers_to(proxy, "TransactWriteItems"):
            claiming = asyncio.create_task(store.pool.claim(READY, "s", before=None))
            async with asyncio.timeout(30):
                while await direct.pool.place("s") is None:
                    await asyncio.sleep(0.02)
        place = await claiming
        assert place is not None
        assert place == await direct.pool.place("s")


def test_places_go_with_their_session() -> None:
    assert keys.place("s")[0] == keys.session("s")
