"""Fields that clients send, made sure of: an error names the field and what it must be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

import orjson

from container.protocol import RUN_ID
from gateway.errors import BadRequest

_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""An escape of a JSON string: both halves of a surrogate pair, half of one, any other."""

_CHOICE = TypeVar("_CHOICE", bound=StrEnum)


def parse_object(text: bytes | str, what: str = "body") -> dict[str, Any]:
    """`text` as a JSON object; half a surrogate pair in it, which scripts make where they cut a text, is U+FFFD.

    Raises `BadRequest` saying where it is malformed; `what` is what to call it.
    """
    try:
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            value = orjson.loads(_without_half_pairs(text))
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The {what} is not valid JSON: {error.msg} at character {error.pos}") from None
    if not isinstance(value, dict):
        raise BadRequest(f"The {what} must be a JSON object, like {{}}")
    return value


def _without_half_pairs(text: bytes | str) -> str:
    decoded = text if isinstance(text, str) else text.decode("utf-8", "surrogateescape")
    return _ESCAPE.sub(lambda found: r"\ufffd" if found["half"] else found[0], decoded)


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
