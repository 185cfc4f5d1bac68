"""What the gateway's calls of the table cost, in DynamoDB's units, from the very items that its store writes.

A write unit is a KB of an item, a read unit 4 KB read strongly (half of that in the index, which is not); a transaction
pays double, the index does not. `tests/scale/models/test_units.py` holds the figures to what DynamoDB Local counts.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from gateway.model import Mode, NewRun, Session
from gateway.store import keys, order
from gateway.store.codec import pack
from gateway.store.leases import INDEX
from gateway.store.runitems import new_item
from gateway.store.schema import definition
from gateway.store.sessions import to_item
from tests.scale.plan import Plan

ID: Final = "01K" + "0" * 23
OWNER: Final = "somebody@example.com"
AT: Final = 1_800_000_000.123456
_WORDS: Final = (
    "the",
    "file",
    "returns",
    "test",
    "a",
    "value",
    "which",
    "is",
    "then",
    "read",
    "by",
    "module",
    "and",
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one operation: `calls` of the table by its gateway, units written to the table and to the index of open runs,
    units read of the table."""

    calls: float
    write: float = 0.0
    index: float = 0.0
    read: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.calls + other.calls,
            self.write + other.write,
            self.index + other.index,
            self.read + other.read,
        )

    def __mul__(self, times: float) -> Cost:
        return Cost(self.calls * times, self.write * times, self.index * times, self.read * times)


def size_of(value: Any) -> int:
    """Bytes of a value, by DynamoDB's documented rules: two digits a byte and one more, text as UTF-8."""
    match value:
        case bool() | None:
            return 1
        case str():
            return len(value.encode())
        case bytes():
            return len(value)
        case int() | float():
            return math.ceil(len(repr(value).strip("-0.").replace(".", "")) / 2) + 1
        case list() | tuple():
            return 3 + sum(1 + size_of(part) for part in value)
        case dict():
            return 3 + sum(1 + len(name) + size_of(part) for name, part in value.items())
    raise TypeError(f"{type(value).__name__} is in no item")


def item_size(item: dict[str, Any]) -> int:
    """Bytes of an item, the names of its attributes included."""
    return sum(len(name) + size_of(value) for name, value in item.items())


def kilobytes(size: float) -> int:
    """Write units of an item of that size."""
    return max(1, math.ceil(size / 1024))


def reads(size: float) -> int:
    """Read units of an item, or of a query's items together, read strongly."""
    return max(1, math.ceil(size / 4096))


def text(size: int) -> bytes:
    """Prose of that many bytes, which packs about as well as an answer does."""
    chance = random.Random(size)
    words: list[str] = []
    while sum(map(len, words)) + len(words) < size:
        words.append(chance.choice(_WORDS) if chance.random() < 0.7 else f"{chance.randrange(16**6):x}")
    return " ".join(words).encode()[:size]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of the items that a session has."""

    meta: int
    run: int
    entry: int
    """Of a run in the index."""
    listed: int
    """Of a session in its owner's list."""
    prompt: int
    answer: int
    log: int

    @classmethod
    def of(cls, plan: Plan) -> Sizes:
        """By the store's own functions."""
        session = Session(id=ID, owner=OWNER, title="t" * 40, created_at=AT, updated_at=AT, active_run=ID)
        new = NewRun(
            id=ID,
            session=ID,
            owner=OWNER,
            message=ID,
            prompt="",
            mode=Mode.AGENT,
            cwd="/workspace",
            created_at=AT,
        )
        run = new_item(new, gateway=ID, lease_until=AT, queued=False)
        (index,) = (
            one["Projection"]["NonKeyAttributes"]
            for one in definition()["GlobalSecondaryIndexes"]
            if one["IndexName"] == INDEX
        )
        projected = {*index, "pk", "sk", "open", "lease_until"}
        frames = round(plan.frames_per_second * plan.flush)
        group = b"\n".join(
            b'{"type":"text-delta","text":"%s","run":"%s","seq":%d}'
            % (text(plan.frame_bytes - 75), ID.encode(), n)
            for n in range(frames)
        )
        pk, sk = keys.log(ID, ID, frames)
        return cls(
            meta=item_size(to_item(session, expires_at=int(AT))),
            run=item_size(run | {"own": 0, "takeovers": 0}),
            entry=item_size({name: value for name, value in run.items() if name in projected}),
            listed=item_size(dict(zip(("pk", "sk"), keys.entry(OWNER, ID, AT), strict=True)) | {"id": ID}),
            prompt=_message(plan.prompt_bytes),
            answer=_message(plan.answer_bytes),
            log=item_size({"pk": pk, "sk": sk, "first": 1, "expires_at": int(AT), **pack(group)}),
        )


def _message(size: int) -> int:
    pk, sk = keys.message(ID, ID, AT)
    fixed = {
        "pk": pk,
        "sk": sk,
        "id": ID,
        "role": "assistant",
        "created_at": AT,
        "run": ID,
        "expires_at": int(AT),
    }
    return item_size({**fixed, **pack(text(size))})


def costs(plan: Plan) -> Mapping[str, Cost]:
    """Operation → its cost, however many make it. The comments say where the calls are made."""
    return _costs(replace(plan, users=1, sessions=1))


@cache
def _costs(plan: Plan) -> Mapping[str, Cost]:
    size = Sizes.of(plan)
    entry = kilobytes(size.entry)
    moved = len(order.moved({"owner": OWNER, "id": ID, "created_at": AT, "listed_at": AT}, AT + 1))
    place = kilobytes(size.meta) + moved * kilobytes(size.listed)  # sessions.place: META, and its entry moved
    idem = 1
    return {
        # rates.count beside; admission._read; admission._create
        "admission": Cost(1, write=1)
        + Cost(1, read=2 * reads(size.meta))
        + Cost(1, write=2 * (idem + kilobytes(size.prompt) + kilobytes(size.run) + place), index=entry),
        # query.build_query: session and settings; run_lease.mark_running: the index holds the state
        "start": Cost(2, read=2) + Cost(1, write=kilobytes(size.run), index=entry),
        # run_lease.renew_forever: the index sorts by lease_until, so its entry is deleted and put anew
        "renewal": Cost(1, write=kilobytes(size.run), index=2 * entry),
        # frames.append
        "append": Cost(1, write=2 * (kilobytes(size.run) + kilobytes(size.log))),
        # endings.finish
        "end": Cost(1, read=reads(size.meta))
        + Cost(1, write=2 * (kilobytes(size.run) + place + idem + kilobytes(size.answer)), index=entry),
        # tickets: session, rate, put; upgrade: take, session, run
        "connection": Cost(1, read=1) + Cost(2, write=2) + Cost(1, write=1) + Cost(2, read=2),
        # leases.take, set_takeovers; recorder: known frames
        "takeover": Cost(1, write=kilobytes(size.run), index=2 * entry)
        + Cost(1, write=kilobytes(size.run))
        + Cost(2, read=2),
        # chat.js: GET /api/sessions/{id} every 2 s of a visible page without a run
        "look": Cost(1, read=reads(size.meta)),
        # session-list.js: a query and a batch of METAs every 15 s
        "list": Cost(1, read=reads(plan.listed * size.meta))
        if plan.whole_entries
        else Cost(2, read=reads(plan.listed * size.listed) + plan.listed * reads(size.meta)),
        # leases.expired: half a unit for each shard at least
        "sweep": Cost(plan.shards, read=plan.shards / 2),
        # reaper: gone_for_good and _idle_since, each reads META
        "reaping": Cost(2, read=2 * reads(size.meta)),
    }


def per_second(plan: Plan) -> dict[str, float]:
    """Operation → how often a second it is made for all of the plan's sessions; sweeps and reaping come on top."""
    watched = plan.sessions * plan.visible
    return {
        "admission": plan.prompts,
        "start": plan.prompts,
        "renewal": plan.runs * 3 / plan.lease,
        "append": plan.appends,
        "end": plan.prompts,
        "connection": plan.prompts,
        "look": watched * (1 - plan.runs / plan.sessions) / 2,
        "list": watched / 15,
    }


def load(plan: Plan) -> Cost:
    """All calls and units of a second."""
    prices = costs(plan)
    total = Cost(0)
    for name, rate in per_second(plan).items():
        total += prices[name] * rate
    return total
