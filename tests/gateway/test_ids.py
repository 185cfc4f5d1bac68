"""Ids sort by their time and never go back."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from container.protocol import RUN_ID
from gateway.ids import ALPHABET, IdSource, instance_of, made_at, new_id


def decode(text: str) -> int:
    value = 0
    for letter in text:
        value = value << 5 | ALPHABET.index(letter)
    return value


def test_an_id_is_a_lowercase_ulid() -> None:
    for text in (new_id() for _ in range(1000)):
        assert re.fullmatch(r"[0-7][0-9a-hjkmnp-tv-z]{25}", text)
        assert RUN_ID.fullmatch(text)


def test_an_id_begins_with_its_milliseconds() -> None:
    text = IdSource(clock=lambda: 1_469_918_176.385)()
    assert decode(text) >> 80 == 1_469_918_176_385


def test_ids_grow_while_the_clock_stands_still_or_goes_back() -> None:
    times = iter([1000.0, 1000.0, 1000.0, 999.0, 5.0, 1000.001])
    source = IdSource(clock=lambda: next(times))
    made = [source() for _ in range(6)]
    assert made == sorted(set(made))


def test_ids_made_by_many_threads_are_all_different_and_grow_in_each() -> None:
    source = IdSource()
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(lambda _: [source() for _ in range(2000)], range(8)))
    assert len({text for batch in batches for text in batch}) == 16_000
    assert all(batch == sorted(batch) for batch in batches)


def test_an_id_tells_when_it_was_made() -> None:
    made = IdSource(lambda: 1_700_000_000.123)()
    assert made_at(made) == pytest.approx(1_700_000_000.123)
    assert [made_at(name) for name in ("", "s1", "u" * 26, "0" * 25)] == [0.0] * 4


def test_deployments_are_told_apart() -> None:
    assert instance_of("s" * 64) == instance_of("s" * 64)
    assert instance_of("s" * 64) != instance_of("t" * 64)
    assert len(instance_of("s" * 64)) == 32
