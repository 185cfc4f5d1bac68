"""The order of the list: by last use, the same for every page, whoever uses what meanwhile and whoever stored it."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from gateway.errors import StoreUnavailable
from gateway.store import keys
from gateway.store.requests import update
from tests.gateway.store.store_conformance import pages
from tests.gateway.store.store_samples import admit, finish, message, session
from tests.gateway.store.store_table import kinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.model import Session
    from gateway.store import Store
    from gateway.store.dynamo import DynamoStore
    from gateway.store.requests import Write

EARLIER = 1_600_000_000.0
"""Before any clock of these tests: what is used is used later."""


async def make(store: Store, count: int) -> list[str]:
    """Sessions of `alice`, the oldest first."""
    names = [f"s{number}" for number in range(count)]
    await asyncio.gather(
        *(
            store.create_session(session(name, created_at=EARLIER + number))
            for number, name in enumerate(names)
        )
    )
    return names


async def listed(store: Store, limit: int = 3) -> list[Session]:
    """The whole list, page by page."""
    return [item for page in await pages(store.list_sessions, owner="alice", limit=limit) for item in page]


async def names(store: Store, limit: int = 3) -> list[str]:
    return [item.id for item in await listed(store, limit)]


async def test_what_is_used_last_comes_first_on_every_page(store: Store) -> None:
    made = await make(store, 8)
    run = (await admit(store, "s0", "m1")).run
    assert await names(store) == ["s0", *made[:0:-1]]
    await admit(store, "s3", "m2")
    assert (await names(store))[:3] == ["s3", "s0", "s7"]
    await finish(store, run)
    assert (await names(store))[:3] == ["s0", "s3", "s7"]
    await store.rename_session("s5", "Renamed")
    assert (await names(store))[:3] == ["s5", "s0", "s3"]
    await store.put_message(message("s6", "m3"))
    assert (await names(store))[:3] == ["s6", "s5", "s0"]
    assert sorted(await names(store)) == made


async def test_a_queued_prompt_and_its_stop_are_uses(store: Store) -> None:
    await make(store, 3)
    await admit(store, "s0", "m1")
    await admit(store, "s1", "m2")
    queued = (await admit(store, "s0", "m3")).run
    assert (await names(store))[0] == "s0"
    await admit(store, "s1", "m4")
    await store.request_stop("s0", queued.id)
    assert await names(store) == ["s0", "s1", "s2"]


async def test_a_cursor_holds_though_the_session_it_stands_on_has_moved(store: Store) -> None:
    made = await make(store, 6)
    first = await store.list_sessions("alice", limit=3)
    await admit(store, first.items[-1].id, "m1")
    second = await store.list_sessions("alice", limit=3, cursor=first.cursor)
    assert [item.id for item in (*first.items, *second.items)] == made[::-1]


async def test_any_uses_while_others_page_leave_each_session_once_and_in_order(store: Store) -> None:
    made = await make(store, 24)
    chance = random.Random(15)

    async def use(number: int) -> None:
        for turn in range(4):
            name = chance.choice(made)
            admission = await admit(store, name, f"m{number}-{turn}", queue_limit=1000)
            if chance.random() < 0.5:
                await store.rename_session(name, f"{number}-{turn}")
            if admission.position == 0:
                await finish(store, admission.run)

    async def look() -> None:
        for _ in range(6):
            for page in await pages(store.list_sessions, owner="alice", limit=5):
                assert len({item.id for item in page}) == len(page)
            assert (await store.held_by("alice")).sessions == len(made)

    await asyncio.gather(*(use(number) for number in range(6)), look())
    assert len(await listed(store)) == len(
        made
    )  # what was renamed while it was used is settled by being looked at
    found = await listed(store)
    assert sorted(item.id for item in found) == sorted(made)
    assert [item.updated_at for item in found] == sorted((item.updated_at for item in found), reverse=True)


async def test_sessions_of_the_version_before_are_listed_and_find_their_place(store: DynamoStore) -> None:
    """It left each entry at the session's creation, and knew of no `listed_at`."""
    made = await make(store, 9)
    for number, name in enumerate(made):
        used = update(
            keys.meta(name), "SET #updated_at = :at REMOVE #listed_at", "", at=EARLIER + 100 - number
        )
        await store._table.write(used)
    assert sorted(await names(store)) == sorted(made)
    assert await names(store) == made
    assert [item.updated_at for item in await listed(store)] == [EARLIER + 100 - n for n in range(9)]
    await store.delete_session("s4")
    assert await names(store) == [name for name in made if name != "s4"]
    assert (await kinds(store)).count("SESSION") == 8


async def test_a_session_of_the_version_before_is_prompted_first(store: DynamoStore) -> None:
    await make(store, 5)
    await store._table.write(update(keys.meta("s0"), "REMOVE #listed_at", ""))
    await admit(store, "s0", "m1")
    assert await names(store) == ["s0", "s4", "s3", "s2", "s1"]
    assert (await kinds(store)).count("SESSION") == 5


async def test_an_entry_that_was_left_elsewhere_is_shown_once_and_goes(store: DynamoStore) -> None:
    await make(store, 4)
    pk, sk = keys.entry("alice", "s0", EARLIER + 50)
    await store._table.write_many(puts=[{"pk": pk, "sk": sk, "id": "s0"}])
    assert await names(store, limit=10) == ["s0", "s3", "s2", "s1"]
    assert await names(store) == ["s3", "s2", "s1", "s0"]


async def test_a_list_and_a_rename_need_no_store_that_takes_moves(store: DynamoStore) -> None:
    """What puts the order right is no part of the answer: the next look does it."""
    made = await make(store, 3)
    pk, sk = keys.entry("alice", "gone", EARLIER + 50)
    await store._table.write_many(puts=[{"pk": pk, "sk": sk, "id": "gone"}])
    transact = store._table.transact

    async def refuse(writes: Sequence[Write]) -> None:
        raise StoreUnavailable(f"no room for {len(writes)} writes")

    async def refuse_to_read(key: keys.Key) -> None:
        raise StoreUnavailable(f"no {key}")

    get, store._table.get = store._table.get, refuse_to_read  # type: ignore[method-assign]
    try:
        assert await store.put_message(message("s0", "m1"))
    finally:
        store._table.get = get  # type: ignore[method-assign]

    store._table.transact = refuse  # type: ignore[method-assign]
    try:
        assert (await store.rename_session("s0", "Renamed")).title == "Renamed"
        assert sorted(await names(store)) == made
        assert (await store.held_by("alice")).sessions == len(made)
    finally:
        store._table.transact = transact  # type: ignore[method-assign]
    await names(store)
    assert await names(store) == ["s0", "s2", "s1"]
    assert (await kinds(store)).count("SESSION") == 3
