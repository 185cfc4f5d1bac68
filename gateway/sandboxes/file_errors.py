"""What a sandbox's refusals about files are to the gateway's clients: known kinds, and a sentence of bounded length."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from gateway import errors

MAX_CHARS: Final = 300
"""Of a sandbox's sentence."""

ETAG: Final = re.compile(r'"[0-9a-f-]{1,80}"', re.ASCII)

_FIELD: Final = re.compile(r"[A-Za-z0-9-]{1,32}", re.ASCII)

_KINDS: Final = {
    400: errors.BadRequest,
    404: errors.NotFound,
    409: errors.Conflict,
    413: errors.PayloadTooLarge,
    416: errors.RangeRefused,
    507: errors.DiskFull,
}


def error_of(status: int, body: str) -> errors.VaporForgeError:
    """The error of an answer's status and the beginning of its body."""
    told = _object(body)
    said = told.get("error")
    text = said[:MAX_CHARS] if isinstance(said, str) and said.isprintable() else "The sandbox refused it."
    if status == 412:
        etag = told.get("etag")
        return errors.Changed(text, etag=etag if isinstance(etag, str) and ETAG.fullmatch(etag) else None)
    if (kind := _KINDS.get(status)) is not None:
        field = told.get("field")
        return kind(text, field=field if isinstance(field, str) and _FIELD.fullmatch(field) else None)
    return errors.SandboxUnavailable(f"The sandbox answered with status {status}.")


def _object(body: str) -> dict[str, Any]:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}
