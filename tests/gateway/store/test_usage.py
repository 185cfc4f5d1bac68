"""Usage rows in a real table: conditions, sums, marks, and what becomes of them."""

from __future__ import annotations

import asyncio

import pytest

from gateway.model import Session
from gateway.store import keys
from gateway.store.dynamo import DynamoStore
from gateway.store.lifetime import DAY, Lifetime
from gateway.store.usage import KEPT_DAYS, STALE_SECONDS, HeldBack, UsageRows, Used, day_of

USER = keys.usage_of_user("ada", "2026-11-27")


async def test_however_many_ask_at_once_only_what_is_left_is_held(store: DynamoStore) -> None:
    held = await asyncio.gather(
        *(store.usage.hold(USER, 40, most=100) for _ in range(12)), return_exceptions=True
    )
    assert len([answer for answer in held if isinstance(answer, Used)]) == 3
    assert len([answer for answer in held if isinstance(answer, HeldBack)]) == 9
    assert await store.usage.get(USER) == Used(0, 120, {"calls": 3})
    with pytest.raises(HeldBack) as refused:
        await store.usage.hold(USER, 1, most=120)
    assert refused.value.used == Used(0, 120, {"calls": 3})


async def test_what_is_told_at_once_adds_up(store: DynamoStore) -> None:
    await asyncio.gather(
        *(store.usage.add(USER, {"input": 3, "output": 0}, cost=7, held=9, anew=True) for _ in range(50))
    )
    assert await store.usage.get(USER) == Used(350, 450, {"input": 150})


async def test_an_item_that_is_gone_stays_so_unless_it_is_wanted_anew(store: DynamoStore) -> None:
    assert await store.usage.add(USER, {"input": 1}, cost=1, held=1) == Used()
    assert await store.usage.get(USER) == Used()


async def test_usage_goes_with_its_session(store: DynamoStore) -> None:
    await store.create_session(Session(id="s1", owner="ada", title="", created_at=1, updated_at=1))
    await store.usage.hold(keys.usage_of_session("s1"), 5)
    await store.usage.hold(keys.usage_of_session("s1", "r1"), 5)
    await store.usage.hold(keys.usage_of_session("s1", "r2"), 6)
    assert await store.usage.runs("s1", limit=10) == {
        "r2": Used(0, 6, {"calls": 1}),
        "r1": Used(0, 5, {"calls": 1}),
    }
    assert list(await store.usage.runs("s1", limit=1)) == ["r2"]
    found = await store.usage.get_many([keys.usage_of_session("s1", run) for run in ("r1", "r1", "none")])
    assert found == {keys.usage_of_session("s1", "r1"): Used(0, 5, {"calls": 1})}
    await store.delete_session("s1")
    await store.usage.add(keys.usage_of_session("s1"), {}, cost=1, held=0)
    assert await store.usage.runs("s1", limit=10) == {}
    assert await store.usage.get(keys.usage_of_session("s1")) == Used()


async def test_a_mark_is_set_once(store: DynamoStore) -> None:
    answers = await asyncio.gather(*(store.usage.first(USER, "told") for _ in range(8)))
    assert sorted(answers) == [False] * 7 + [True]
    assert await store.usage.first(USER, "told_other")
    assert not await store.usage.first(USER, "told_near", "told")
    assert await store.usage.first(USER, "told_near", "told_over")


async def test_what_nobody_holds_any_more_is_taken_back(store: DynamoStore) -> None:
    now = 1_795_780_800.0
    rows = UsageRows(store._table, Lifetime(7.0, lambda: now))
    assert not await rows.settle_held(USER)
    await rows.hold(USER, 100)
    await rows.add(USER, {}, cost=30, held=0)
    now += STALE_SECONDS - 1
    assert not await rows.settle_held(USER)
    now += 2
    assert await rows.settle_held(USER)
    assert await rows.get(USER) == Used(30, 30, {"calls": 1})
    assert not await rows.settle_held(USER)


async def test_days_and_sessions_are_kept_for_their_time(store: DynamoStore) -> None:
    now = 1_795_780_800.0
    rows = UsageRows(store._table, Lifetime(7.0, lambda: now))
    run = keys.usage_of_session("s1", "r1")
    for key in (USER, run):
        await rows.hold(key, 1)
    now += 8 * DAY + 1
    assert await rows.get(run) == Used()
    assert await rows.get_many([run]) == {}
    assert await rows.runs("s1", limit=5) == {}
    assert await rows.get(USER) != Used()
    now += KEPT_DAYS * DAY
    assert await rows.get(USER) == Used()


def test_days_are_utcs() -> None:
    assert day_of(1_795_780_800.0) == "2026-11-27"
    assert day_of(1_795_780_800.0 + 43_199.9) == "2026-11-27"
    assert day_of(1_795_780_800.0 + 43_200) == "2026-11-28"
