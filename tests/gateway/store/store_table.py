"""A look at the store's table, and ways to it through the fault proxy."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.store.dynamo import DynamoStore
from gateway.store.keys import BIRTH, KEYS
from tests.gateway.fault_proxy import FaultProxy, Faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gateway.config import Settings


async def scan(store: DynamoStore) -> list[dict[str, Any]]:
    """Every item of the table, as DynamoDB holds it."""
    items: list[dict[str, Any]] = []
    start: dict[str, Any] = {}
    while True:
        page = await store._table.call("scan", TableName=store._table.name, ConsistentRead=True, **start)
        items += page["Items"]
        if "LastEvaluatedKey" not in page:
            return items
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


async def empty(store: DynamoStore) -> None:
    """Delete every item of the table but its data keys, which nobody ever deletes."""
    doomed = [(item["pk"]["S"], item["sk"]["S"]) for item in await scan(store)]
    await store._table.write_many(deletes=[key for key in doomed if key[0] != KEYS])


async def kinds(store: DynamoStore) -> list[str]:
    """The kind of every item, sorted; the mark of the table's own beginning and its data keys are none of them."""
    found = sorted(item["sk"]["S"].split("#")[0] for item in await scan(store) if item["pk"]["S"] != KEYS)
    return [kind for kind in found if kind != BIRTH[1]]


RETRY_SECONDS = 60.0
"""Seconds in which a busy machine makes no store unavailable."""


@contextmanager
def patiently(*stores: DynamoStore) -> Iterator[None]:
    """Meanwhile no store gives up, however little patience it has: what is tested has not begun."""
    tables = [store._table for store in stores]
    before = [table.seconds for table in tables]
    for table in tables:
        table.seconds = RETRY_SECONDS
    try:
        yield
    finally:
        for table, seconds in zip(tables, before, strict=True):
            table.seconds = seconds


@asynccontextmanager
async def through(proxy: FaultProxy, settings: Settings, retry_seconds: float) -> AsyncIterator[DynamoStore]:
    """A store of the same table behind the proxy."""
    opened = DynamoStore(replace(settings, dynamodb_endpoint=proxy.url), retry_seconds=retry_seconds)
    with patiently(opened):
        await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


@contextmanager
def lose_answers_to(proxy: FaultProxy, operation: str) -> Iterator[None]:
    """The answers to one operation are lost, all others arrive."""
    proxy.faults, proxy.only = Faults(lost=1), operation
    try:
        yield
    finally:
        proxy.faults, proxy.only = Faults(), ""
