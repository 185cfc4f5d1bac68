"""The chain: blocks of events, each with the hash of the one before it, and what is wrong with a chain. Pure.

Only the standard library is used: `scripts/audit` verifies what was exported with nothing but this.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

START: Final = "0" * 64
"""What stands for the hash before the first block of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """`number`: from 1 on in each `day`. `at`: when it was written, ISO 8601. `previous`: the hash of the block before
    it, of whatever day. `seal`: of the hash, with a key that is not in the table."""

    day: str
    number: int
    gateway: str
    at: str
    previous: str
    events: tuple[dict[str, Any], ...]
    hash: str = ""
    seal: str = ""

    def digest(self) -> str:
        """The hash that it must have: SHA-256 of all that it says."""
        said = [self.day, self.number, self.gateway, self.at, self.previous, self.events]
        return hashlib.sha256(canonical(said).encode()).hexdigest()

    def json(self) -> dict[str, Any]:
        """As it is exported."""
        return {name: getattr(self, name) for name in FIELDS} | {"events": list(self.events)}

    @classmethod
    def of(cls, value: Any) -> Block:
        """What `json` gave. Raises `ValueError` where a field is missing or of another type."""
        if not isinstance(value, dict) or any(not isinstance(value.get(name), str) for name in TEXTS):
            raise ValueError("no block of the audit's chain")
        number, events = value.get("number"), value.get("events")
        if type(number) is not int or not isinstance(events, list):
            raise ValueError("no block of the audit's chain")
        return cls(number=number, events=tuple(events), **{name: value[name] for name in TEXTS})


TEXTS: Final = ("day", "gateway", "at", "previous", "hash", "seal")
FIELDS: Final = (*TEXTS, "number")


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block: its day, number and hash."""

    day: str = ""
    number: int = 0
    hash: str = START


def canonical(value: Any) -> str:
    """JSON that is the same wherever it is written."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def seal_of(key: bytes, digest: str) -> str:
    """Only who has the key can make a block that counts, however well they know the chain."""
    return hmac.new(key, b"vaporforge audit block:" + digest.encode(), hashlib.sha256).hexdigest()


def following(
    head: Head, *, day: str, gateway: str, at: str, events: Iterable[dict[str, Any]], key: bytes
) -> Block:
    """The block behind `head`. The days of a chain never go back: a clock that is behind writes into the newest."""
    day = max(day, head.day)
    number = head.number + 1 if day == head.day else 1
    block = Block(day=day, number=number, gateway=gateway, at=at, previous=head.hash, events=tuple(events))
    digest = block.digest()
    return Block(
        day=block.day,
        number=block.number,
        gateway=block.gateway,
        at=block.at,
        previous=block.previous,
        events=block.events,
        hash=digest,
        seal=seal_of(key, digest),
    )


class Verifier:
    """Feed it blocks in their order; `faults` tells what is wrong, a sentence each."""

    def __init__(self) -> None:
        self.blocks = self.events = 0
        self.last: Block | None = None

    def take(self, block: Block) -> Iterator[str]:
        """What is wrong with the next block, or between it and the one before."""
        name = f"{block.day} block {block.number}"
        if block.digest() != block.hash:
            yield f"{name} was changed: its hash is not that of what it says"
        before = self.last
        if before is None:
            if block.number != 1:
                yield f"{block.day} begins with block {block.number}: those before it are missing"
        elif (block.day, block.number) <= (before.day, before.number):
            yield f"{name} came behind {before.day} block {before.number}"
        elif block.day == before.day and block.number != before.number + 1:
            yield f"{block.day}: {block.number - before.number - 1} block(s) before {block.number} are missing"
        elif block.day != before.day and block.number != 1:
            yield f"{block.day} begins with block {block.number}: those before it are missing"
        elif block.previous != before.hash:
            yield f"{name} follows another block than {before.day} block {before.number}: some are missing or changed"
        self.last = block
        self.blocks += 1
        self.events += len(block.events)

    def behind(self, block: Block) -> Iterator[str]:
        """What is wrong between the last block and `block`, the first of a later day, which is not looked at itself."""
        last = self.last
        if last is not None and block.previous != last.hash:
            yield (
                f"{block.day} block {block.number} follows another block than {last.day} block {last.number}: "
                "some are missing or changed"
            )

    def end(self, head: Head) -> Iterator[str]:
        """What is wrong at the end. `head`: the newest block, as the store says."""
        last = self.last
        if last is None or (last.day, last.number, last.hash) != (head.day, head.number, head.hash):
            ends = "nothing" if last is None else f"{last.day} block {last.number}"
            if head.number:
                yield f"the chain ends with {ends}, and its newest block is {head.day} block {head.number}"
