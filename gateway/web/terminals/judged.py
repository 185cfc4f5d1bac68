"""What a sandbox says of its terminals, judged: it may be anybody's word."""

from __future__ import annotations

from typing import Any, Final

from container.protocol import RUN_ID
from gateway.errors import SandboxUnavailable
from gateway.web.request.bodies import iso

MOST_CELLS: Final = 500
"""Columns, and rows, of a terminal."""

MOST_CURSOR: Final = 2**53
MOST_TERMINALS: Final = 64
MOST_SECONDS: Final = 2.0**40
"""Of a time, in epoch seconds."""


def terminal_json(told: Any) -> dict[str, Any]:
    """A terminal as docs/protocol.md has it. Raises `SandboxUnavailable` for what is none."""
    fields = told if isinstance(told, dict) else {}
    name: Any = fields.get("id")
    created: Any = fields.get("createdAt")
    code: Any = fields.get("exitCode")
    good = (
        isinstance(name, str)
        and RUN_ID.fullmatch(name)
        and type(created) in (int, float)
        and 0 <= created <= MOST_SECONDS
        and (code is None or (type(code) is int and 0 <= code <= 255))
        and all(_is_whole(fields.get(field), 1, MOST_CELLS) for field in ("cols", "rows"))
        and _is_whole(fields.get("cursor"), 0, MOST_CURSOR)
    )
    if not good:
        raise SandboxUnavailable("What the sandbox says of a terminal is not to be understood.")
    return {
        "id": name,
        "createdAt": iso(created),
        "cols": fields["cols"],
        "rows": fields["rows"],
        "cursor": fields["cursor"],
        "running": fields.get("running") is True,
        "exitCode": code,
        "busy": fields.get("busy") is True,
    }


def terminals_json(told: dict[str, Any]) -> list[dict[str, Any]]:
    """A list of them. Raises `SandboxUnavailable`."""
    found = told.get("terminals")
    if not isinstance(found, list) or len(found) > MOST_TERMINALS:
        raise SandboxUnavailable("What the sandbox says of its terminals is not to be understood.")
    return [terminal_json(one) for one in found]


def _is_whole(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most
