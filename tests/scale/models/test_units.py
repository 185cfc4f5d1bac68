"""What an operation costs, against what DynamoDB Local counts for the store's own calls.

Of a transaction it counts neither every item nor double: there only the number of calls is compared.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from gateway.ids import new_id
from gateway.model import Message, Mode, NewRun, OnBusy, RunState, Session
from gateway.store.dynamo import DynamoStore
from tests.scale.models.units import Cost, Sizes, costs, item_size, kilobytes, load, reads, size_of, text
from tests.scale.plan import Plan

PLAN = Plan()
PRICES = costs(PLAN)


def test_sizes_by_hand() -> None:
    """DynamoDB Developer Guide, Item sizes and formats."""
    assert size_of("grüße") == 7
    assert size_of(True) == size_of(None) == 1
    assert size_of(7) == 2
    assert size_of(1_800_000_001) == 6
    assert size_of(1_800_000_000) == 2  # zeros at an end are not kept
    assert size_of(["a", "b"]) == 3 + 2 * 2
    assert size_of({"ab": "c"}) == 3 + 4
    assert item_size({"pk": "S", "n": 12}) == 3 + 3
    with pytest.raises(TypeError, match="set is in no item"):
        size_of({1})


def test_units_are_whole() -> None:
    assert [kilobytes(size) for size in (0, 1024, 1025)] == [1, 1, 2]
    assert [reads(size) for size in (0, 4096, 4097)] == [1, 1, 2]


def test_costs_add_and_multiply() -> None:
    assert Cost(1, 2, 3, 4) + Cost(1, 1) * 2 == Cost(3, 4, 3, 4)


def test_the_load_is_every_operation_at_its_rate() -> None:
    one = load(Plan(sessions=1_000))
    assert load(Plan(sessions=3_000)).write == pytest.approx(3 * one.write)


def test_a_longer_answer_costs_its_kilobytes_twice() -> None:
    longer = costs(Plan(answer_bytes=60_000))["end"].write - PRICES["end"].write
    small, large = Sizes.of(PLAN).answer, Sizes.of(Plan(answer_bytes=60_000)).answer
    assert longer == 2 * (kilobytes(large) - kilobytes(small))


class Meter:
    """Counts what the store's calls consume, by DynamoDB's own answer."""

    def __init__(self, store: DynamoStore) -> None:
        self.calls = 0
        self.units: Counter[str] = Counter()
        self._call = store._table.call
        store._table.call = self._counted  # type: ignore[method-assign]

    async def _counted(self, operation: str, **request: Any) -> dict[str, Any]:
        answer = await self._call(operation, ReturnConsumedCapacity="INDEXES", **request)
        self.calls += 1
        found = answer.get("ConsumedCapacity", [])
        reading = operation in ("get_item", "batch_get_item", "query")
        for one in found if isinstance(found, list) else [found]:
            indexes = one.get("GlobalSecondaryIndexes", {}).values()
            index = sum(each["CapacityUnits"] for each in indexes)
            self.units["index"] += index
            self.units["read" if reading else "write"] += one["CapacityUnits"] - index
        return answer

    def taken(self) -> Cost:
        """What was consumed since this was asked last."""
        found = Cost(self.calls, self.units["write"], self.units["index"], self.units["read"])
        self.calls = 0
        self.units.clear()
        return found


async def test_a_runs_life_costs_what_the_plan_says(store: DynamoStore) -> None:
    session, now = new_id(), time.time()
    await store.create_session(
        Session(id=session, owner="somebody@example.com", title="t" * 40, created_at=now, updated_at=now)
    )
    await store._keys.today()  # a day's first body makes the key that encrypts the day's
    meter = Meter(store)
    new = NewRun(
        id=new_id(),
        session=session,
        owner="somebody@example.com",
        message=new_id(),
        prompt=text(PLAN.prompt_bytes).decode(),
        mode=Mode.AGENT,
        cwd="/workspace",
        created_at=now,
    )
    run = (
        await store.create_run(new, on_busy=OnBusy.QUEUE, queue_limit=8, gateway="g" * 26, lease_seconds=10)
    ).run
    assert meter.taken().calls + 1 == PRICES["admission"].calls  # no rate was counted here

    renewed = await store.renew_lease(run, lease_seconds=10, now=now + 3)
    assert renewed is not None
    assert meter.taken() == PRICES["renewal"]

    running = await store.mark_running(renewed)
    assert running is not None
    assert (
        meter.taken() + Cost(2, read=2) == PRICES["start"]
    )  # the query's session and settings were not read

    line = b'{"type":"text-delta","text":"%s","run":"%s","seq":%d}\n'
    count = round(PLAN.frames_per_second * PLAN.flush)
    group = b"".join(line % (text(PLAN.frame_bytes - 75), run.id.encode(), n + 1) for n in range(count))
    written = await store.append_frames(running, first=1, last=count, frames=group)
    assert written is not None
    assert meter.taken().calls == PRICES["append"].calls

    answer = Message(
        id=new_id(),
        session=session,
        role="assistant",
        content=text(PLAN.answer_bytes).decode(),
        created_at=now,
        run=run.id,
    )
    await store.finish_run(
        written,
        state=RunState.COMPLETED,
        reason="completed",
        message=answer,
        gateway="g" * 26,
        lease_seconds=10,
    )
    assert meter.taken().calls == PRICES["end"].calls

    await store.get_session(session)
    assert meter.taken() == PRICES["look"]
    assert await store.expired_runs(now=now, limit=25) == []
    assert (
        meter.taken().calls == PRICES["sweep"].calls
    )  # an index that is empty costs half a unit a look, here none
    await store.list_sessions("somebody@example.com")
    listed = meter.taken()
    assert (listed.calls, listed.read) == (PRICES["list"].calls, 2)  # one session: an entry and its META
