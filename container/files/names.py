"""Paths of the workspace as clients name them: the bytes of the names, percent-encoded, with `/` between them."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, quote_from_bytes, unquote_to_bytes

from container.errors import BadRequest

MAX_PATH_CHARS: Final = 6144
"""Longest percent-encoded path: a request's first line has 8,190 bytes; for two of them in a body there is room."""

MAX_NAME_BYTES: Final = 255
"""Longest name of a file on Linux (NAME_MAX)."""

PARTIAL: Final = b".vf-upload-"
"""What the names of unfinished uploads begin with; they are listed nowhere."""

Parts = tuple[bytes, ...]
"""The names on the way from the workspace; none: the workspace itself."""


def parts_of(encoded: str, field: str = "path") -> Parts:
    """The names of a percent-encoded path. Raises BadRequest for one that is too long, or that steps up or aside."""
    if len(encoded) > MAX_PATH_CHARS:
        raise BadRequest(f"{field} may have {MAX_PATH_CHARS} characters, percent-encoded.", field=field)
    try:
        raw = unquote_to_bytes(encoded)
    except UnicodeEncodeError:  # half a surrogate pair
        raise BadRequest(f"{field} is no percent-encoded path.", field=field) from None
    if not raw:
        return ()
    parts = tuple(raw.removesuffix(b"/").split(b"/"))
    for part in parts:
        if part in (b"", b".", b"..") or b"\0" in part or len(part) > MAX_NAME_BYTES:
            raise BadRequest(f"{field} must be names below the workspace, with / between them.", field=field)
    return parts


def file_parts(encoded: str, field: str = "path") -> Parts:
    """The same of what lies in the workspace. Raises BadRequest for the workspace itself too."""
    if not (parts := parts_of(encoded, field)):
        raise BadRequest(f"{field} must name something in the workspace.", field=field)
    return parts


def encoded(parts: Parts) -> str:
    """The names as a percent-encoded path."""
    return "/".join(quote_from_bytes(part, safe="") for part in parts)


def shown(name: bytes) -> str:
    """A name as text: bytes that are no UTF-8 are U+FFFD."""
    return name.decode("utf-8", "replace")


def fields_of(query: str) -> dict[str, str]:
    """The fields of a raw query, whose `path` and `to` stay percent-encoded: they are names of bytes."""
    fields: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        fields[name] = value if name in ("path", "to") else _text(value)
    return fields


def _text(value: str) -> str:
    pairs = parse_qsl(f"v={value}", keep_blank_values=True, errors="replace")
    return pairs[0][1] if pairs else ""
