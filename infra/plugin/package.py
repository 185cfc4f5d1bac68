"""A package that the plugin serves: its types, and what is said of those that it does not know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from infra.plugin.properties import Properties
from infra.plugin.resource import Context, ResourceType

Function = Callable[[Context, Properties], Properties]
"""Answers a question of the program. Raises `PluginError` when there is no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """`types`, `functions`: by their tokens. `who`, `remedy`: as `who does not know the type x; remedy`. `configured`:
    the keys that its provider takes."""

    name: str
    version: str
    types: Mapping[str, ResourceType]
    who: str
    remedy: str
    configured: frozenset[str] = frozenset()
    functions: Mapping[str, Function] = field(default_factory=dict)
