"""The audit's rows: one chain whoever adds to it, and a second attempt is no second block."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from gateway.audit.chain import Block, Head, Verifier, following
from gateway.audit.ledger import Audit
from gateway.ids import new_id
from gateway.store.dynamo import DynamoStore
from tests.gateway.stack import settings_for

DAY = "2026-11-30"
LATER = int(time.time()) + 1000


@pytest.fixture
async def store(dynamodb_endpoint: str) -> AsyncIterator[DynamoStore]:
    store = DynamoStore(settings_for(dynamodb_endpoint, f"test-{new_id()}"))
    await store.open()
    yield store
    await store.close()


def block(head: Head, *kinds: str, day: str = DAY) -> Block:
    events = [{"kind": kind, "who": "ünïcode"} for kind in kinds]
    return following(head, day=day, gateway="g", at="t", events=events, key=b"k")


async def test_blocks_are_read_as_they_were_added_and_the_head_is_the_newest(store: DynamoStore) -> None:
    rows = store.audit
    assert await rows.head() == Head()
    first = block(Head(), "a", *["long" * 60] * 100)
    assert await rows.append(first, expires_at=LATER)
    head = await rows.head()
    assert head == Head(DAY, 1, first.hash)
    second = block(head, "b")
    assert await rows.append(second, expires_at=LATER)
    page, cursor = await rows.page(DAY, limit=1, cursor=None, now=time.time())
    assert (list(page), cursor is not None) == ([first], True)
    page, _ = await rows.page(DAY, limit=10, cursor=cursor, now=time.time())
    assert list(page) == [second]
    assert (await rows.page("2026-11-29", limit=10, cursor=None, now=time.time()))[0] == []
    assert (await rows.page(DAY, limit=10, cursor=None, now=LATER + 1))[0] == []


async def test_only_one_block_follows_another_and_again_is_success(store: DynamoStore) -> None:
    rows = store.audit
    mine, others = block(Head(), "mine"), block(Head(), "others")
    assert await rows.append(mine, expires_at=LATER)
    assert await rows.append(mine, expires_at=LATER)
    assert not await rows.append(others, expires_at=LATER)
    tomorrow = block(Head(), "others", day="2026-12-01")
    assert not await rows.append(tomorrow, expires_at=LATER)
    assert await rows.head() == Head(DAY, 1, mine.hash)
    behind = block(await rows.head(), "next")
    assert await rows.append(behind, expires_at=LATER)
    assert await rows.append(mine, expires_at=LATER)  # an answer that was lost for long
    assert (await rows.head()).number == 2


async def test_gateways_that_write_at_once_make_one_chain_with_every_event(store: DynamoStore) -> None:
    audits = [Audit(store.audit, gateway=f"g{number}", secret="s" * 32, days=1) for number in range(4)]
    for turn in range(5):
        for number, audit in enumerate(audits):
            audit.record(f"g{number}-{turn}")
        await asyncio.gather(*(audit.flush() for audit in audits))
    day = (await store.audit.head()).day
    blocks, _ = await store.audit.page(day, limit=100, cursor=None, now=time.time())
    verifier = Verifier()
    assert [fault for one in blocks for fault in verifier.take(one)] == []
    assert list(verifier.end(await store.audit.head())) == []
    kinds = [event["kind"] for one in blocks for event in one.events]
    assert sorted(kinds) == sorted(f"g{number}-{turn}" for number in range(4) for turn in range(5))
