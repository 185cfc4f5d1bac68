"""Tags as the services spell them: pairs, of one spelling or another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.aws.plugin.row import Call


def pairs(tags: Mapping[str, str] | None, key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """As most services take them."""
    return [{key: name, value: text} for name, text in sorted((tags or {}).items())]


def unpaired(
    found: Sequence[Mapping[str, str]] | None, key: str = "Key", value: str = "Value"
) -> dict[str, str]:
    """The other way; without the services' own."""
    return {pair[key]: pair[value] for pair in found or [] if not pair[key].startswith("aws:")}


def retag(call: Call, add: Callable[[dict[str, str]], Any], take: Callable[[list[str]], Any]) -> None:
    """Have the tags that are given now, where those that were differ."""
    wanted, had = call.given.get("tags") or {}, call.was.get("tags") or {}
    if gone := sorted(had.keys() - wanted.keys()):
        take(gone)
    if wanted != had:
        add(dict(wanted))
