"""Events without content, and a flood of them that stays small."""

from __future__ import annotations

import json

from gateway.audit.events import MOST_CHARS, MOST_DETAILS, MOST_KEYS, WINDOW_SECONDS, Event, Sampler, day_of


def event(kind: str = "refused", *, at: float = 100.0, who: str = "", address: str = "") -> Event:
    return Event(at, kind, who=who, address=address, outcome="unauthorized")


def test_an_event_says_what_it_knows_and_no_more() -> None:
    told = Event(1.5, "run-stop", who="ada", session="s1", details={"run": "r1"}).json()
    assert told == {
        "at": "1970-01-01T00:00:01.500Z",
        "kind": "run-stop",
        "who": "ada",
        "session": "s1",
        "outcome": "ok",
        "run": "r1",
    }


def test_texts_and_details_are_bounded_and_override_nothing() -> None:
    details: dict[str, str | int] = {f"d{number}": "x" * 1000 for number in range(50)}
    told = Event(0.0, "k" * 1000, who="w" * 1000, details={"kind": "other", "who": "eve", **details}).json()
    assert (told["kind"], told["who"]) == ("k" * MOST_CHARS, "w" * MOST_CHARS)
    assert len(told) <= MOST_DETAILS + 4
    assert len(json.dumps(told)) < 4096


def test_days_are_those_of_utc() -> None:
    assert (day_of(86_399.9994), day_of(86_400)) == ("1970-01-01", "1970-01-02")


def test_the_first_of_a_kind_pass_and_the_rest_is_counted() -> None:
    sampler = Sampler(each=2, most=100)
    assert [sampler.take(event(at=100.0 + number)) for number in range(10)] == [True, True] + [False] * 8
    assert sampler.take(event(who="ada"))
    assert sampler.over(101.0) == []
    [counted] = sampler.over(100.0 + WINDOW_SECONDS)
    assert (counted.kind, counted.outcome, counted.at, counted.details) == (
        "refused",
        "unauthorized",
        102.0,
        {"count": 8},
    )
    assert sampler.over(1000.0) == []
    assert sampler.take(event(at=200.0))  # of a new window


def test_a_flood_from_everywhere_is_a_bounded_number_of_events_and_every_one_is_counted() -> None:
    sampler = Sampler(each=1, most=100)
    flood = [event(address=f"10.0.{number // 250}.{number % 250}", at=100.0) for number in range(20_000)]
    passed = sum(sampler.take(one) for one in flood)
    counted = sampler.over(160.0)
    assert passed == 100
    assert len(counted) <= MOST_KEYS + 1
    assert passed + sum(int(one.details["count"]) for one in counted) == len(flood)


def test_what_is_counted_at_the_end_is_told_at_once() -> None:
    sampler = Sampler(each=1, most=1)
    sampler.take(event())
    sampler.take(event())
    assert sampler.counts
    assert [one.details for one in sampler.over(100.0, at_once=True)] == [{"count": 1}]
    assert not sampler.counts


def test_a_clock_that_is_put_back_counts_for_no_longer() -> None:
    sampler = Sampler(each=1, most=1)
    assert sampler.take(event(at=90_000.0))
    assert sampler.take(event(at=100.0))
    assert not sampler.take(event(at=101.0))
    [counted] = sampler.over(50.0)
    assert counted.details == {"count": 1}
