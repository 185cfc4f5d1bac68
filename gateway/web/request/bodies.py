"""What clients send, made sure of: JSON bodies, their fields, and prompts; and the JSON that goes back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

import orjson
from aiohttp import web

from container.protocol import MAX_PROMPT_CHARS, RUN_ID
from gateway.errors import BadRequest, PayloadTooLarge
from gateway.model import Mode, OnBusy

MAX_BODY_BYTES: Final = 1_310_720
"""Longest request body, where a route does not say otherwise: JSON may spell each character of a prompt as a surrogate
pair of twelve bytes."""

WORKSPACE: Final = "/workspace"
"""Where an agent works, and the default `cwd`."""

MAX_CWD_CHARS: Final = 4096
"""Longest path (Linux's PATH_MAX)."""

_PREFIX: Final = re.compile(r"\s*\[(?:command|agent):/[^\]\n]+\]\s*")
_CHOICE = TypeVar("_CHOICE", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRequest:
    """A prompt as a client sent it. `message_id`: the client's name for it, which makes sending it again harmless."""

    prompt: str
    cwd: str = WORKSPACE
    mode: Mode = Mode.AGENT
    on_busy: OnBusy = OnBusy.QUEUE
    message_id: str | None = None


async def read_json(request: web.Request, limit: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """The request's body, a JSON object of at most `limit` bytes; no body at all is `{}`.

    Raises `BadRequest` and `PayloadTooLarge`.
    """
    too_large = PayloadTooLarge(f"The body may have at most {limit} bytes")
    if (request.content_length or 0) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise too_large
    return parse_object(bytes(body)) if body else {}


def parse_object(text: bytes | str, what: str = "body") -> dict[str, Any]:
    """`text` as a JSON object. Raises `BadRequest` saying where it is malformed; `what` is what to call it."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The {what} is not valid JSON: {error.msg} at character {error.pos}") from None
    if not isinstance(value, dict):
        raise BadRequest(f"The {what} must be a JSON object, like {{}}")
    return value


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


def parse_prompt(fields: Mapping[str, Any]) -> PromptRequest:
    """The prompt in a WebSocket's query, a `start` frame or a body; fields that are not known are ignored.

    Raises `BadRequest` naming the field.
    """
    return PromptRequest(
        prompt=text(fields, "prompt", limit=MAX_PROMPT_CHARS, required=True),
        cwd=_cwd(fields),
        mode=choice(fields, "mode", Mode.AGENT),
        on_busy=choice(fields, "onBusy", OnBusy.QUEUE),
        message_id=identifier(fields, "messageId") or None,
    )


def strip_prefix(prompt: str) -> str:
    """`prompt` without a leading `[command:/name]` or `[agent:/name]`: it tells the page how to show the prompt.

    A prompt that is nothing else stays as it is.
    """
    found = _PREFIX.match(prompt)
    return (prompt[found.end() :] or prompt) if found else prompt


def iso(seconds: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_response(value: Any, status: int = 200) -> web.Response:
    """`value` as a JSON response."""
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def _cwd(fields: Mapping[str, Any]) -> str:
    value = text(fields, "cwd", limit=MAX_CWD_CHARS) or WORKSPACE
    parts = value.split("/")
    if parts[:2] != ["", WORKSPACE[1:]] or ".." in parts or "\0" in value:
        raise BadRequest(f"cwd must be {WORKSPACE} or a folder under it, without `..`", field="cwd")
    return value
