"""What a resource type is to the plugin: a few facts for check and diff, and four calls on the engine."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import docker

from infra.plugin.enginelog import EngineLog
from infra.plugin.properties import Properties


class PluginError(Exception):
    """A call failed; the message is what the user of `pulumi up` reads."""


class MissingError(Exception):
    """What a resource stands for is no longer there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a call has at hand. `connect`: gives a client of the engine, the same one to each call of a thread.
    `configured`: what the provider was told. `cancelled`: set when the user gives up; every wait looks at it."""

    connect: Callable[[], docker.APIClient]
    configured: Mapping[str, Any]
    urn: str
    log: EngineLog
    cancelled: threading.Event

    @property
    def api(self) -> docker.APIClient:
        """Asked for when it is needed: not every type asks the engine."""
        return self.connect()

    @property
    def host(self) -> str:
        """The engine's URL, empty for the default."""
        return str(self.configured.get("host") or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """`inputs`: every input that is understood; another is refused. `required`: those that must be there.
    `in_place`: those whose change does not replace the resource. `unordered`: lists that are sets.
    `computed`: outputs that are not known before it is made. `auto_named`: whether it gets a name when it has none;
    `named`: the input that this is. `tells`: whether `read` tells inputs as they are, so that a refresh sees drift.
    `defaults`: those that the official plugin fills in and replaces the resource for. `keeps`: whether an update leaves
    the outputs that there are as they are, so that a preview knows them. `unnoticed`: inputs that only a creation asks
    for, so that another one is no change."""

    inputs: frozenset[str]
    required: frozenset[str] = frozenset()
    in_place: frozenset[str] = frozenset()
    unordered: frozenset[str] = frozenset()
    computed: frozenset[str] = frozenset()
    auto_named: bool = False
    named: str = "name"
    tells: bool = False
    unnoticed: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    keeps: bool = False


class ResourceType(Protocol):
    """One type. Inputs and outputs are plain; what `create`, `read` and `update` return is added to the inputs.

    | call | there | gone |
    | --- | --- | --- |
    | `create` | makes it; nothing is left behind when that fails | |
    | `read` | its outputs | raises `MissingError` |
    | `update` | changes it in place; `state` is what it was | raises `MissingError` |
    | `delete` | deletes it | success |

    All raise `PluginError`, or docker's errors, when the engine refuses.
    """

    traits: Traits

    def check(self, inputs: Properties) -> Mapping[str, Any]:
        """Further inputs that follow from the given ones. Raises `PluginError` when they cannot be right."""

    def create(self, context: Context, inputs: Properties) -> tuple[str, Properties]: ...

    def read(self, context: Context, resource_id: str, inputs: Properties) -> Properties: ...

    def update(
        self, context: Context, resource_id: str, inputs: Properties, state: Properties
    ) -> Properties: ...

    def delete(self, context: Context, resource_id: str, state: Properties) -> None: ...


class Plain(ABC):
    """What most types share: nothing follows from their inputs, and an update in place asks the engine alone."""

    def check(self, inputs: Properties) -> Mapping[str, Any]:  # noqa: ARG002 - nothing follows from them
        """See `ResourceType`."""
        return {}

    @abstractmethod
    def read(self, context: Context, resource_id: str, inputs: Properties) -> Properties:
        """See `ResourceType`."""

    def update(
        self,
        context: Context,
        resource_id: str,
        inputs: Properties,
        state: Properties,  # noqa: ARG002
    ) -> Properties:
        """See `ResourceType`."""
        return self.read(context, resource_id, inputs)


@runtime_checkable
class Refusing(Protocol):
    """A type that may not be made everywhere, which a preview says too."""

    def refuse(self, inputs: Properties) -> None:
        """Raises `PluginError` where it must not be made."""
