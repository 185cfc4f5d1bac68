"""What becomes of the pool's members, by their age, their kind and their number."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.sandboxes.pool.plan import MARGIN_SECONDS, Plan, Wanted, plan, size_at
from gateway.schedule import read_schedule
from gateway.store.pool import Member

NOW = 10_000.0
WANTED = Wanted(size=2, fingerprint="f", most_seconds=600, start_seconds=60)


def member(name: str, age: float = 1.0, **changes: object) -> Member:
    made = Member(id=name, fingerprint="f", since=NOW - age, ready=True)
    return replace(made, **changes)  # type: ignore[arg-type]


def of(*members: Member, size: int = 2, gone: frozenset[str] = frozenset()) -> Plan:
    return plan(members, replace(WANTED, size=size), gone=gone, now=NOW)


def names(members: object) -> list[str]:
    return [one.id for one in members]  # type: ignore[attr-defined]


def test_what_is_missing_is_started() -> None:
    assert of() == Plan([], [], 2)
    assert of(member("a"), member("b")) == Plan([], [], 0)


def test_what_is_being_started_counts_and_is_finished_whoever_began_it() -> None:
    begun = member("b", ready=False)
    assert of(member("a"), begun) == Plan([], [begun], 0)


def test_a_start_that_takes_too_long_goes() -> None:
    late = member("a", 60 + MARGIN_SECONDS + 1, ready=False)
    assert of(late) == Plan([late], [], 2)


def test_another_kind_and_what_has_died_go_at_once() -> None:
    other, dead = member("a", fingerprint="g"), member("b")
    assert of(other, dead, gone=frozenset({"b"})) == Plan([other, dead], [], 2)


def test_an_old_one_goes_only_once_another_is_ready() -> None:
    old, young = member("a", 601), member("b")
    assert of(old, young) == Plan([], [], 1)
    assert of(old, young, member("c", ready=False)).drop == []
    assert names(of(old, young, member("c")).drop) == ["a"]


def test_too_many_are_let_go_from_the_oldest_on() -> None:
    assert names(of(member("a", 3), member("b", 2), member("c", 1), size=1).drop) == ["a", "b"]


def test_of_too_many_that_are_being_started_the_latest_go() -> None:
    first, second, third = (member(name, ready=False) for name in "abc")
    assert of(first, second, third) == Plan([third], [first, second], 0)
    assert of(member("d"), first, second) == Plan([second], [first], 0)


def test_members_are_there_when_their_window_begins_and_until_it_ends() -> None:
    monday = 4 * 24 * 3600.0  # in epoch seconds
    schedule = read_schedule("Mon 08:00-09:00 UTC 5", 1)
    begin, end = monday + 8 * 3600, monday + 9 * 3600
    times = (begin - 61, begin - 60, begin, end - 1, end)
    assert [size_at(schedule, now, ahead=60) for now in times] == [1, 5, 5, 5, 1]


@pytest.mark.parametrize("ready", [True, False])
def test_a_pool_that_is_off_keeps_nothing(ready: bool) -> None:
    assert names(of(member("a", ready=ready), size=0).drop) == ["a"]
