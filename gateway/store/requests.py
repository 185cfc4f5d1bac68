"""Conditional writes as data: one shape for a single write and for a part of a transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.store.codec import Item, decode, encode, names_in
from gateway.store.keys import Key


@dataclass(frozen=True, slots=True)
class Write:
    """One `Put`, `Update`, `Delete` or `ConditionCheck`, without the table's name."""

    kind: str
    request: dict[str, Any]


class ConditionFailed(Exception):
    """Nothing was written. `found[n]` is, for the n-th write whose condition did not hold, the item as it is ({} when
    there is none), and None for a write whose condition held."""

    def __init__(self, found: tuple[Item | None, ...]) -> None:
        super().__init__(f"conditions failed: {[n for n, item in enumerate(found) if item is not None]}")
        self.found = found


def put(item: Item, when: str = "", **values: Any) -> Write:
    """Put an item. In `when`, `#name` is an attribute and `:name` a value of `values`."""
    return Write("Put", {"Item": encode(item), **_condition(when, "", values)})


def update(key: Key, change: str, when: str, **values: Any) -> Write:
    """Update an item by the update expression `change`."""
    return Write(
        "Update", {"Key": encode_key(key), "UpdateExpression": change, **_condition(when, change, values)}
    )


def delete(key: Key, when: str = "", **values: Any) -> Write:
    """Delete an item."""
    return Write("Delete", {"Key": encode_key(key), **_condition(when, "", values)})


def check(key: Key, when: str, **values: Any) -> Write:
    """Only a condition; for transactions."""
    return Write("ConditionCheck", {"Key": encode_key(key), **_condition(when, "", values)})


def encode_key(key: Key) -> dict[str, Any]:
    return encode({"pk": key[0], "sk": key[1]})


def _condition(when: str, change: str, values: dict[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {}
    if when:
        request["ConditionExpression"] = when
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    if names := names_in(when, change):
        request["ExpressionAttributeNames"] = names
    if values:
        request["ExpressionAttributeValues"] = encode({f":{name}": value for name, value in values.items()})
    return request


def failures(reasons: list[dict[str, Any]]) -> tuple[Item | None, ...]:
    """`ConditionFailed.found` of a cancelled transaction's reasons."""
    return tuple(
        decode(reason.get("Item", {})) if reason.get("Code") == "ConditionalCheckFailed" else None
        for reason in reasons
    )
