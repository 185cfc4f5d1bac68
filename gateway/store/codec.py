"""Items to and from DynamoDB's wire form: attributes, expressions, packed bodies. Pure functions."""

from __future__ import annotations

import math
import re
import zlib
from typing import Any, Final

Item = dict[str, Any]
"""An item as plain Python: str, int, float, bool, bytes, None, list and dict."""

PACK_BYTES: Final = 512
"""Shorter bodies are not worth compressing: DynamoDB bills writes by whole kilobytes."""


def encode(item: Item) -> dict[str, Any]:
    """An item in DynamoDB's form. Raises `TypeError` and `ValueError` for what it cannot hold."""
    return {name: _encode(value) for name, value in item.items()}


def _encode(value: Any) -> dict[str, Any]:
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int() | float():
            if not math.isfinite(value):
                raise ValueError(f"{value} is not a number that DynamoDB holds")
            return {"N": repr(value)}
        case bytes():
            return {"B": value}
        case None:
            return {"NULL": True}
        case list() | tuple():
            return {"L": [_encode(part) for part in value]}
        case dict():
            return {"M": encode(value)}
    raise TypeError(f"{type(value).__name__} is not a type that the store writes")


def decode(attributes: dict[str, Any]) -> Item:
    """The plain item. Numbers become int where they are whole and float elsewhere."""
    return {name: _decode(value) for name, value in attributes.items()}


def _decode(attribute: dict[str, Any]) -> Any:
    ((kind, value),) = attribute.items()
    match kind:
        case "N":
            return int(value) if value.lstrip("-").isdigit() else float(value)
        case "NULL":
            return None
        case "L":
            return [_decode(part) for part in value]
        case "M":
            return decode(value)
        case _:
            return value


_NAME = re.compile(r"#(\w+)")


def names_in(*expressions: str) -> dict[str, str]:
    """`ExpressionAttributeNames` for every `#name` used: each stands for the attribute of that name, so that no
    expression trips over one of DynamoDB's 573 reserved words."""
    return {f"#{name}": name for expression in expressions for name in _NAME.findall(expression)}


def pack(body: bytes) -> Item:
    """`{body, z}`: the body, compressed (`z`) where that makes it smaller."""
    if len(body) > PACK_BYTES:
        packed = zlib.compress(body, 1)
        if len(packed) < len(body):
            return {"body": packed, "z": True}
    return {"body": body, "z": False}


def unpack(item: Item) -> bytes:
    """The body that `pack` was given."""
    body: bytes = item["body"]
    return zlib.decompress(body) if item["z"] else body
