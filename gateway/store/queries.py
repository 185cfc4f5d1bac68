"""Query requests for `Table.page` and `Table.pages`, and the paging that hides expired items."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from gateway.store.client import Table
from gateway.store.codec import Item, encode, names_in
from gateway.store.keys import Key, from_cursor, to_cursor
from gateway.store.requests import encode_key


def by_prefix(
    pk: str,
    prefix: str = "",
    *,
    forward: bool = True,
    limit: int = 0,
    after: str = "",
    keys_only: bool = False,
) -> dict[str, Any]:
    """Items of a partition whose sort key begins with `prefix`, from behind the sort key `after`."""
    condition = "#pk = :pk AND begins_with(#sk, :sk)" if prefix else "#pk = :pk"
    values = {":pk": pk, ":sk": prefix} if prefix else {":pk": pk}
    request = _request(condition, values)
    request["ScanIndexForward"] = forward
    if limit:
        request["Limit"] = limit
    if after:
        request["ExclusiveStartKey"] = encode_key((pk, after))
    if keys_only:
        request["ProjectionExpression"] = "#pk, #sk"
        request["ExpressionAttributeNames"] = names_in("#pk, #sk")
    return request


def between(first: Key, last: Key) -> dict[str, Any]:
    """Items of one partition from the key `first` to the key `last`, both included."""
    return _request(
        "#pk = :pk AND #sk BETWEEN :first AND :last", {":pk": first[0], ":first": first[1], ":last": last[1]}
    )


def _request(condition: str, values: Item) -> dict[str, Any]:
    return {
        "KeyConditionExpression": condition,
        "ExpressionAttributeNames": names_in(condition),
        "ExpressionAttributeValues": encode(values),
        "ConsistentRead": True,
    }


def expired(item: Item, now: float) -> bool:
    """Whether the item's time is over: TTL deletes late, by days at worst."""
    until = item.get("expires_at")
    return until is not None and until <= now


async def listing(
    table: Table, pk: str, prefix: str, *, limit: int, cursor: str | None, forward: bool, now: float
) -> tuple[list[Item], str | None]:
    """Up to `limit` live items and the cursor of the next page, None when there is none."""
    items: list[Item] = []
    following: str | None = None
    async for page, behind in steps(table, pk, prefix, limit=limit, cursor=cursor, forward=forward, now=now):
        items += page
        following = behind
    return items, following


async def steps(
    table: Table, pk: str, prefix: str, *, limit: int, cursor: str | None, forward: bool, now: float
) -> AsyncIterator[tuple[list[Item], str | None]]:
    """Up to `limit` live items in steps of at most 1 MB, each with the cursor behind it, None at the end."""
    after = from_cursor(cursor, prefix) if cursor else ""
    left = limit
    while True:
        page, start = await table.page(by_prefix(pk, prefix, forward=forward, limit=left, after=after))
        items = [item for item in page if not expired(item, now)]
        left -= len(items)
        after = str(start["sk"]["S"]) if start else ""
        yield items, to_cursor(after) if start else None
        if not start or left <= 0:
            return
