"""Secrets struck from JSON values: every text in them, and every name of a field. Pure."""

from __future__ import annotations

from typing import Any, Final

from container.redaction.redactor import Redactor
from container.redaction.stream import strike

ELLIPSIS: Final = "…"
"""What the agents put behind a text that they cut."""


def strike_value(redactor: Redactor, value: Any, *, bare: bool = False) -> Any:
    """`value` without secrets; the same object where there are none. As deep as the protocol's frames are."""
    if isinstance(value, str):
        if value.endswith(ELLIPSIS):
            struck = strike(redactor, value[:-1], cut=True, bare=bare)
            return value if struck == value[:-1] else struck + ELLIPSIS
        return strike(redactor, value, bare=bare)
    if isinstance(value, list):
        items = [strike_value(redactor, item, bare=bare) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if isinstance(value, dict):
        fields = {
            strike(redactor, name, bare=bare): strike_value(redactor, item, bare=bare)
            for name, item in value.items()
        }
        same = len(fields) == len(value) and all(
            new is old and fields[new] is value[old] for new, old in zip(fields, value, strict=True)
        )
        return value if same else fields
    return value
