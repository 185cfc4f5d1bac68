"""A chain of blocks, and that whatever is done to it is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.chain import START, Block, Head, Verifier, following, seal_of

KEY = b"k" * 32


def chain(*days: str) -> list[Block]:
    """A block for each, with two events."""
    blocks: list[Block] = []
    head = Head()
    for at, day in enumerate(days):
        events: list[dict[str, Any]] = [
            {"kind": "run-stop", "who": "ada", "n": at},
            {"kind": "refused", "who": "ünïcode"},
        ]
        block = following(head, day=day, gateway="g1", at=f"{day}T00:00:0{at}.000Z", events=events, key=KEY)
        blocks.append(block)
        head = Head(block.day, block.number, block.hash)
    return blocks


DAYS = ("2026-11-29", "2026-11-29", "2026-11-30", "2026-11-30", "2026-11-30", "2026-12-02")


def faults(blocks: list[Block], head: Head | None = None) -> list[str]:
    verifier = Verifier()
    found = [fault for block in blocks for fault in verifier.take(block)]
    last = chain(*DAYS)[-1]
    return found + list(verifier.end(head or Head(last.day, last.number, last.hash)))


def test_a_chain_is_whole() -> None:
    blocks = chain(*DAYS)
    assert [(block.day[-2:], block.number) for block in blocks] == [
        ("29", 1),
        ("29", 2),
        ("30", 1),
        ("30", 2),
        ("30", 3),
        ("02", 1),
    ]
    assert blocks[0].previous == START
    assert faults(blocks) == []


def test_it_may_begin_with_any_day() -> None:
    assert faults(chain(*DAYS)[2:]) == []


def edited(block: Block) -> Block:
    return replace(block, events=({**block.events[0], "who": "eve"}, *block.events[1:]))


def rehashed(block: Block) -> Block:
    changed = edited(block)
    return replace(changed, hash=changed.digest())


CHANGES: dict[str, tuple[Callable[[list[Block]], list[Block]], str]] = {
    "an event edited": (lambda b: [*b[:3], edited(b[3]), *b[4:]], "2026-11-30 block 2 was changed"),
    "an event removed": (lambda b: [*b[:3], replace(b[3], events=b[3].events[1:]), *b[4:]], "was changed"),
    "a time edited": (lambda b: [replace(b[0], at="x"), *b[1:]], "2026-11-29 block 1 was changed"),
    "edited, with its own hash anew": (
        lambda b: [*b[:3], rehashed(b[3]), *b[4:]],
        "2026-11-30 block 3 follows another block",
    ),
    "a block removed": (lambda b: [*b[:3], *b[4:]], "1 block(s) before 3 are missing"),
    "the first of a day removed": (lambda b: [*b[:2], *b[3:]], "2026-11-30 begins with block 2"),
    "the last of a day removed": (lambda b: [b[0], *b[2:]], "2026-11-30 block 1 follows another block"),
    "a whole day removed": (lambda b: [*b[:2], *b[5:]], "2026-12-02 block 1 follows another block"),
    "the end removed": (lambda b: b[:-1], "the chain ends with 2026-11-30 block 3"),
    "all removed": (lambda _: [], "the chain ends with nothing"),
    "two in another order": (lambda b: [*b[:3], b[4], b[3], b[5]], "came behind"),
    "one twice": (lambda b: [*b[:3], b[2], *b[3:]], "came behind"),
}


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES.keys())
def test_what_was_done_to_it_is_found(change: Callable[[list[Block]], list[Block]], said: str) -> None:
    found = faults(change(chain(*DAYS)))
    assert any(said in fault for fault in found), found


@given(st.data())
def test_no_field_of_an_exported_block_can_be_changed_unseen(data: st.DataObject) -> None:
    told = json.loads(json.dumps(chain(*DAYS)[3].json()))
    name = data.draw(st.sampled_from(["day", "number", "gateway", "at", "previous", "events"]))
    other: dict[str, Any] = {"number": 9, "events": [{"kind": "x"}]}
    changed = Block.of({**told, name: other.get(name, "2026-11-28")})
    assert changed.digest() != changed.hash
    assert Block.of(told).digest() == told["hash"]


def test_only_the_key_makes_a_seal() -> None:
    block = chain(DAYS[0])[0]
    assert block.seal == seal_of(KEY, block.hash)
    assert block.seal != seal_of(b"other", block.hash)
    assert rehashed(block).seal != seal_of(KEY, rehashed(block).hash)


def test_a_clock_that_is_behind_writes_into_the_newest_day() -> None:
    head = Head("2026-11-30", 7, "h")
    block = following(head, day="2026-11-29", gateway="g", at="t", events=[], key=KEY)
    assert (block.day, block.number) == ("2026-11-30", 8)


@pytest.mark.parametrize(
    "value", [None, [], {}, {"day": 1}, {**chain("2026-11-30")[0].json(), "number": "1"}]
)
def test_what_is_no_block_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="no block"):
        Block.of(value)
