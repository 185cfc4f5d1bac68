"""What has changed between two sets of inputs, and whether that takes a replacement."""

from __future__ import annotations

import json
from typing import Any

from pulumi.runtime.proto import provider_pb2

from infra.plugin.properties import Properties
from infra.plugin.resource import Traits

DEFAULTS = "__defaults"
"""Input that lists which inputs the provider chose, as in every bridged provider."""


def diff(traits: Traits, olds: Properties, news: Properties) -> provider_pb2.DiffResponse:
    """`olds`, `news`: plain checked inputs; an unknown value counts as changed. What a provider chose itself, this one
    or the official one, is no change."""
    name_chosen = traits.named in news.get(DEFAULTS, [])
    olds, news = _given(olds), _given(news)
    changed = [
        key
        for key in sorted({*olds, *news} - traits.unnoticed)
        if _comparable(key, olds.get(key), traits) != _comparable(key, news.get(key), traits)
    ]
    replaces = [key for key in changed if key not in traits.in_place]
    kinds = provider_pb2.PropertyDiff
    detailed: dict[str, provider_pb2.PropertyDiff] = {}
    for key in changed:
        kind = "ADD" if key not in olds else "DELETE" if key not in news else "UPDATE"
        suffix = "_REPLACE" if key in replaces else ""
        detailed[key] = kinds(kind=kinds.Kind.Value(kind + suffix), inputDiff=True)
    response = provider_pb2.DiffResponse
    return response(
        changes=response.DIFF_SOME if changed else response.DIFF_NONE,
        replaces=replaces,
        diffs=changed,
        detailedDiff=detailed,
        hasDetailedDiff=True,
        # A name that the user chose cannot be had twice at a time.
        deleteBeforeReplace=bool(replaces) and traits.auto_named and not name_chosen,
    )


def _given(value: Any) -> Any:
    """Without what a provider filled in, at any depth."""
    if isinstance(value, dict):
        chosen = {DEFAULTS, *value.get(DEFAULTS, [])}
        return {key: _given(item) for key, item in value.items() if key not in chosen}
    return [_given(item) for item in value] if isinstance(value, list) else value


def _comparable(key: str, value: Any, traits: Traits) -> str:
    # Empty and absent are the same to the engine.
    if value in (None, "", [], {}, False):
        return ""
    if key in traits.unordered:
        value = sorted(json.dumps(_unordered_inside(item), sort_keys=True) for item in value)
    return json.dumps(value, sort_keys=True)


def _unordered_inside(item: Any) -> Any:
    if isinstance(item, dict) and isinstance(item.get("aliases"), list):
        return {**item, "aliases": sorted(item["aliases"])}
    return item
