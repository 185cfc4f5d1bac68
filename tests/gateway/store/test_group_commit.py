"""Transactions that go out as one: who is with whom, and what each is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from gateway.errors import StoreUnavailable
from gateway.store.group_commit import MOST_WRITES, UNDER_WAY, GroupCommit
from gateway.store.requests import ConditionFailed, Write, delete, put

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.store.client import Table


class Transactions:
    """Stands for a table's `transact`: each waits until `go_on`, and fails at the items of `bad`, or with `error`."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.bad: set[str] = set()
        self.error: Exception | None = None
        self.may_go_on = asyncio.Event()

    async def transact(self, writes: Sequence[Write]) -> None:
        names = [(write.request.get("Key") or write.request["Item"])["sk"]["S"] for write in writes]
        self.groups.append(names)
        await self.may_go_on.wait()
        if self.error is not None:
            raise self.error
        if self.bad & set(names):
            raise ConditionFailed(tuple({"was": name} if name in self.bad else None for name in names))


@pytest.fixture
async def table() -> Transactions:
    return Transactions()


@pytest.fixture
async def commit(table: Transactions) -> GroupCommit:
    return GroupCommit(cast("Table", table))


def writes(*names: str) -> list[Write]:
    return [put({"pk": "p", "sk": name}) for name in names]


async def asked(commit: GroupCommit, *of: list[Write]) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(commit.transact(each)) for each in of]
    for _ in range(4):
        await asyncio.sleep(0)
    return tasks


async def test_those_of_one_moment_are_one_and_the_rest_follows(
    table: Transactions, commit: GroupCommit
) -> None:
    count = MOST_WRITES // 3 * (UNDER_WAY + 1) + 1
    tasks = await asked(commit, *(writes(f"{n}a", f"{n}b", f"{n}c") for n in range(count)))
    assert [len(group) for group in table.groups] == [MOST_WRITES] * UNDER_WAY
    table.may_go_on.set()
    await asyncio.gather(*tasks)
    assert [len(group) for group in table.groups] == [MOST_WRITES] * (UNDER_WAY + 1) + [3]
    assert len({name for group in table.groups for name in group}) == 3 * count


async def test_no_item_is_written_twice_in_one(table: Transactions, commit: GroupCommit) -> None:
    table.may_go_on.set()
    tasks = await asked(commit, writes("a", "x"), writes("b", "x"), [delete(("p", "a"))], writes("c"))
    await asyncio.gather(*tasks)
    assert table.groups == [["a", "x", "c"], ["b", "x", "a"]]


async def test_who_fails_fails_alone(table: Transactions, commit: GroupCommit) -> None:
    table.may_go_on.set()
    table.bad = {"bad"}
    tasks = await asked(commit, writes("a"), writes("b", "bad"), writes("c"))
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert (answers[0], answers[2]) == (None, None)
    assert isinstance(answers[1], ConditionFailed)
    assert answers[1].found == (None, {"was": "bad"})
    assert table.groups == [["a", "b", "bad", "c"], ["a"], ["c"]]


async def test_a_store_that_is_away_is_told_to_each(table: Transactions, commit: GroupCommit) -> None:
    table.may_go_on.set()
    table.error = StoreUnavailable("away")
    tasks = await asked(commit, writes("a"), writes("b"))
    assert [type(answer) for answer in await asyncio.gather(*tasks, return_exceptions=True)] == [
        StoreUnavailable
    ] * 2
    table.error = None
    await commit.transact(writes("c"))


async def test_who_is_cancelled_before_it_went_out_writes_nothing(
    table: Transactions, commit: GroupCommit
) -> None:
    tasks = await asked(commit, writes("a"))
    tasks += await asked(commit, writes("b"))
    tasks += await asked(commit, writes("c"), writes("d"))
    assert table.groups == [["a"], ["b"]]
    tasks[0].cancel()  # it is on its way
    tasks[2].cancel()
    await asyncio.sleep(0)
    table.may_go_on.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [True, False, True, False]
    assert table.groups == [["a"], ["b"], ["d"]]
