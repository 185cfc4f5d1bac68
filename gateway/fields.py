"""Fields that clients send, made sure of: an error names the field and what it must be. And JSON in which whole numbers
stay as they are: orjson makes floats of those beyond 64 bits, and writes none."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from enum import StrEnum
from types import EllipsisType
from typing import Any, TypeVar

import orjson

from container.protocol import RUN_ID, encode
from gateway.errors import BadRequest

_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""An escape of a JSON string: both halves of a surrogate pair, half of one, any other."""

MAX_FIELD_CHARS = 64
"""Of a field's name, where it is the client's own."""

_LONG = re.compile(rb"[0-9]{19}")
"""Digits of a number that 64 bits may not hold."""

_CHOICE = TypeVar("_CHOICE", bound=StrEnum)


def parse_object(text: bytes | str, what: str = "body") -> dict[str, Any]:
    """`text` as a JSON object; half a surrogate pair in it, which scripts make where they cut a text, is U+FFFD.

    Raises `BadRequest` saying where it is malformed, or which field has a number that no double holds; `what` is what
    to call it.
    """
    try:
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            value = orjson.loads(_without_half_pairs(text))
    except orjson.JSONDecodeError as error:
        if (field := _field_out_of_range(text)) is not None:
            raise BadRequest(f"{field} has a number that is too large", field=field) from None
        raise BadRequest(f"The {what} is not valid JSON: {error.msg} at character {error.pos}") from None
    if not isinstance(value, dict):
        raise BadRequest(f"The {what} must be a JSON object, like {{}}")
    return value


def _without_half_pairs(text: bytes | str) -> str:
    decoded = text if isinstance(text, str) else text.decode("utf-8", "surrogateescape")
    return _ESCAPE.sub(lambda found: r"\ufffd" if found["half"] else found[0], decoded)


def _field_out_of_range(text: bytes | str) -> str | None:
    """The first field of a JSON object with a number that no double holds. Such a number may have more digits than
    Python reads as a whole number (4,300), and is none that a field could mean."""

    def finite(digits: str) -> float | EllipsisType:
        return number if math.isfinite(number := float(digits)) else ...

    def holds_one(value: Any) -> bool:
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return value is ... or any(holds_one(part) for part in parts)

    try:
        value = json.loads(text, parse_int=finite, parse_float=finite)
        fields = value.items() if isinstance(value, dict) else ()
        return next((name[:MAX_FIELD_CHARS] for name, part in fields if holds_one(part)), None)
    except (ValueError, RecursionError):
        return None


def text(fields: Mapping[str, Any], name: str, *, limit: int, required: bool = False) -> str:
    """The string `fields[name]`, at most `limit` characters; "" when it is absent or null and not `required`.

    Raises `BadRequest` naming the field.
    """
    value = fields.get(name)
    if value is None:
        if required:
            raise BadRequest(f"Missing {name}", field=name)
        return ""
    if not isinstance(value, str):
        raise BadRequest(f"{name} must be a string", field=name)
    if len(value) > limit:
        raise BadRequest(f"{name} has {len(value)} characters; it may have at most {limit}", field=name)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRequest(f"{name} holds half of a surrogate pair; send valid Unicode", field=name) from None
    if required and not value.strip():
        raise BadRequest(f"{name} is empty", field=name)
    return value


def identifier(fields: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    """An id in `fields[name]`, "" when absent or empty and not `required`. Raises `BadRequest` naming the field."""
    value = fields.get(name)
    if value is None or value == "":
        if required:
            raise BadRequest(f"Missing {name}", field=name)
        return ""
    if not isinstance(value, str) or not RUN_ID.fullmatch(value):
        raise BadRequest(f"{name} must be 1 to 64 letters, digits, - or _", field=name)
    return value


def choice(fields: Mapping[str, Any], name: str, default: _CHOICE) -> _CHOICE:
    """One of the members of `default`'s enum; `default` when absent or empty. Raises `BadRequest` naming the field."""
    value = fields.get(name)
    if value is None or value == "":
        return default
    kind = type(default)
    try:
        return kind(value)
    except ValueError:
        raise BadRequest(f"{name} must be one of {', '.join(kind)}", field=name) from None


def whole(fields: Mapping[str, Any], name: str, *, default: int, least: int, most: int) -> int:
    """A whole number, also as decimal digits (a query's). Raises `BadRequest` naming the field."""
    value = fields.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(most)):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadRequest(f"{name} must be a whole number from {least} to {most}", field=name)
    return value


def loads(text: bytes) -> Any:
    """The value in `text`. Raises `orjson.JSONDecodeError` as orjson does: for numbers that no double holds, too."""
    return exact(orjson.loads(text), text)


def exact(value: Any, text: bytes) -> Any:
    """`value`, which orjson read from `text`, with its whole numbers as they were said."""
    if not _LONG.search(text):
        return value
    try:
        # Of fewer digits than Python refuses to read (4,300): a double holds numbers of 309 at most.
        return json.loads(text)
    except RecursionError:
        raise orjson.JSONDecodeError("nested too deeply", "", 0) from None


def dumps(value: Any) -> bytes:
    """`value` as JSON. Raises `TypeError` for what JSON does not hold."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return encode(value)
