"""A resource type as a row: its inputs, and how AWS's service is asked to make, tell, change and take it away."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from infra.plugin.properties import Properties
from infra.plugin.resource import Context, MissingError, PluginError, Traits
from tests.aws.plugin.clients import client_of

Answer = TypeVar("Answer")

WAIT_SECONDS: Final = 180.0
PAUSE_SECONDS: Final = 0.2

GONE: Final = ("NotFound", "NoSuch", "DoesNotExist", "404")
"""In the codes by which services say that something is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call on a resource. `aws`: the row's client. `id`: empty before it is made. `given`: its inputs. `was`: its
    state, inputs and outputs, before an update or at its end."""

    aws: Any
    id: str
    given: Properties
    was: Properties
    cancelled: threading.Event

    def wait(self, until: Callable[[], bool], what: str) -> None:
        """Raises `PluginError` when `until` does not hold in time."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not until():
            if time.monotonic() > deadline or self.cancelled.wait(PAUSE_SECONDS):
                raise PluginError(f"{self.id}: {what} has not come about in {WAIT_SECONDS:.0f} s")


def nothing_changes(call: Call) -> None:
    """For a row of which every input replaces it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`service`: boto3's name. `inputs`: all that are understood; of these `replaces` are those whose change makes
    another resource, and `sets` lists whose order means nothing. `make` gives the id. `find` tells inputs as the
    service has them, and outputs, or raises `MissingError`. `silent`: inputs that are no service's but say how this
    plugin goes about. `remove` may find it gone."""

    service: str
    inputs: frozenset[str]
    required: frozenset[str] = frozenset()
    replaces: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    outputs: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    auto_named: bool = False
    named: str = "name"
    make: Callable[[Call], str]
    find: Callable[[Call], Properties]
    change: Callable[[Call], object] = nothing_changes
    remove: Callable[[Call], object]
    checked: Callable[[Properties], Mapping[str, Any]] = field(default=lambda _: {})


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


class AwsType:
    """A row as the engine's calls."""

    def __init__(self, row: Row, untold: frozenset[str] = frozenset()) -> None:
        """`untold`: inputs that the service asked here keeps to itself, so that nobody sees them drift."""
        self._row = row
        self._untold = untold
        self.traits = Traits(
            inputs=row.inputs,
            required=row.required,
            in_place=row.inputs - row.replaces,
            unordered=row.sets,
            computed=row.outputs,
            auto_named=row.auto_named,
            named=row.named,
            tells=True,
        )

    def check(self, inputs: Properties) -> Mapping[str, Any]:
        """See `ResourceType`."""
        return self._row.checked(inputs)

    def create(self, context: Context, inputs: Properties) -> tuple[str, Properties]:
        """See `ResourceType`."""
        try:
            made = self._asked(self._row.make, context, "", inputs, {})
            return made, self._told(context, made, inputs)
        except MissingError as error:
            raise PluginError(f"{self._row.service} refused: {error}") from error

    def read(self, context: Context, resource_id: str, inputs: Properties) -> Properties:
        """See `ResourceType`."""
        return self._told(context, resource_id, inputs)

    def update(self, context: Context, resource_id: str, inputs: Properties, state: Properties) -> Properties:
        """See `ResourceType`."""
        self._asked(self._row.change, context, resource_id, inputs, state)
        return self._told(context, resource_id, inputs)

    def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        """See `ResourceType`."""
        try:
            self._asked(self._row.remove, context, resource_id, state, state)
        except MissingError:
            return

    def _told(self, context: Context, resource_id: str, inputs: Properties) -> Properties:
        found = self._asked(self._row.find, context, resource_id, inputs, {})
        return {
            # Of tags the services tell all; one more is somebody's.
            key: inputs[key]
            if key in inputs and key != "tags" and same(inputs[key], value, key in self._row.sets)
            else value
            for key, value in found.items()
            if value is not None and key not in self._untold
        }

    def _asked(
        self,
        question: Callable[[Call], Answer],
        context: Context,
        resource_id: str,
        inputs: Properties,
        state: Properties,
    ) -> Answer:
        aws = client_of(self._row.service, str(context.configured.get("region") or "us-east-1"))
        call = Call(aws=aws, id=resource_id, given=inputs, was=state, cancelled=context.cancelled)
        try:
            return question(call)
        except ClientError as error:
            if any(part in error.response["Error"]["Code"] for part in GONE):
                raise MissingError(str(error)) from error
            raise PluginError(f"{self._row.service} refused: {error}") from error
        except BotoCoreError as error:
            raise PluginError(f"{self._row.service}: {error}") from error


def same(given: Any, found: Any, as_set: bool = False) -> bool:
    """Whether what a service tells is what it was told: it may tell more of an object, and a policy as other
    text."""
    if isinstance(given, dict) and isinstance(found, dict):
        return all(same(value, found.get(key)) for key, value in given.items())
    if isinstance(given, list) and isinstance(found, list):
        if as_set:
            given, found = (
                sorted(value, key=lambda item: json.dumps(item, sort_keys=True)) for value in (given, found)
            )
        return len(given) == len(found) and all(map(same, given, found))
    if isinstance(given, str) and isinstance(found, str) and given.startswith(("{", "[")):
        return bool(_parsed(given) == _parsed(found))
    return bool(given == found) or (_is_empty(given) and _is_empty(found))


def _is_empty(value: Any) -> bool:
    return value is None or value is False or value in ("", [], {})


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
