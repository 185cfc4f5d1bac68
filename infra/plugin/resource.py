"""What a resource type is to the plugin: a few facts for check and diff, and four calls on the engine."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import docker

from infra.plugin.enginelog import EngineLog
from infra.plugin.properties import Properties


class PluginError(Exception):
    """A call failed; the message is what the user of `pulumi up` reads."""


class MissingError(Exception):
    """What a resource stands for is no longer there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a call has at hand. `host`: the engine's URL, empty for the default. `cancelled`: set when the user
    gives up; every wait looks at it."""

    api: docker.APIClient
    host: str
    urn: str
    log: EngineLog
    cancelled: threading.Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """`inputs`: every input that is understood; another is refused. `required`: those that must be there.
    `in_place`: those whose change does not replace the resource. `unordered`: lists that are sets.
    `computed`: outputs that are not known before it is made. `auto_named`: whether it gets a name when it has none.
    `defaults`: those that the official plugin fills in and replaces the resource for."""

    inputs: frozenset[str]
    required: frozenset[str] = frozenset()
    in_place: frozenset[str] = frozenset()
    unordered: frozenset[str] = frozenset()
    computed: frozenset[str] = frozenset()
    auto_named: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)


class ResourceType(Protocol):
    """One type. Inputs and outputs are plain; what `create`, `read` and `update` return is added to the inputs.

    | call | there | gone |
    | --- | --- | --- |
    | `create` | makes it; nothing is left behind when that fails | |
    | `read` | its outputs | raises `MissingError` |
    | `update` | changes it in place | raises `MissingError` |
    | `delete` | deletes it | success |

    All raise `PluginError`, or docker's errors, when the engine refuses.
    """

    traits: Traits

    def check(self, inputs: Properties) -> Mapping[str, Any]:
        """Further inputs that follow from the given ones. Raises `PluginError` when they cannot be right."""

    def create(self, context: Context, inputs: Properties) -> tuple[str, Properties]: ...

    def read(self, context: Context, resource_id: str, inputs: Properties) -> Properties: ...

    def update(self, context: Context, resource_id: str, inputs: Properties) -> Properties: ...

    def delete(self, context: Context, resource_id: str, state: Properties) -> None: ...
