"""The aws program's resources made in ministack row by row, without an engine: by Pulumi's mocks."""

from __future__ import annotations

import contextlib
import threading
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.plugin.enginelog import EngineLog
from infra.plugin.properties import Properties, plain
from infra.plugin.resource import Context, MissingError, PluginError
from infra.program import program
from tests.aws.cloud.completion import StandInCompletion
from tests.aws.cloud.served import served
from tests.aws.plugin.types import AWS
from tests.conftest import ministack
from tests.infra.mocked import Mocks, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest
    from pulumi.runtime import mocks

REGION = "us-east-1"


def no_engine() -> Any:
    raise AssertionError("AWS's types ask no Docker engine")


CONTEXT = Context(
    connect=no_engine,
    configured={"region": REGION},
    urn="",
    log=EngineLog(""),
    cancelled=threading.Event(),
)


@contextlib.contextmanager
def whole_ministack(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A ministack with all services, and what completes it; the URL is also where boto3 asks from now on. Its tasks are
    words alone: it reaches no Docker engine."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/engine.sock")
    with ministack("", folder / "log") as bare, served(StandInCompletion(bare).app()) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield url


@dataclass(frozen=True, slots=True)
class Made:
    """A resource with its type, its inputs as the engine would have checked them, and what the row told."""

    type: str
    id: str
    inputs: Properties
    told: Properties

    @property
    def state(self) -> Properties:
        return {**self.inputs, **self.told}

    def is_there(self) -> bool:
        try:
            AWS.types[self.type].read(CONTEXT, self.id, self.inputs)
        except MissingError:
            return False
        return True

    def change_tags(self) -> None:
        """One more, for what has any; an update with nothing changed for the rest."""
        more = {**self.inputs["tags"], "one": "more"} if "tags" in self.inputs else None
        wanted = self.inputs if more is None else {**self.inputs, "tags": more}
        told = AWS.types[self.type].update(CONTEXT, self.id, wanted, self.state)
        assert "tags" not in told or told["tags"] == more

    def delete(self) -> None:
        AWS.types[self.type].delete(CONTEXT, self.id, self.state)


@dataclass
class Rows(Mocks):
    """Makes AWS's resources by their rows, in the order in which the program declares them."""

    made: list[Made] = field(default_factory=list)

    def call(self, args: mocks.MockCallArgs) -> Any:
        return AWS.functions[args.token](CONTEXT, plain(_whole(args.args)))

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if not args.typ.startswith("aws:"):
            return super().new_resource(args)
        kind, inputs = AWS.types[args.typ], plain(_whole(dict(args.inputs)))
        traits = kind.traits
        if odd := {*(inputs.keys() - traits.inputs), *(traits.required - inputs.keys())}:
            raise PluginError(f"{args.typ}: {', '.join(sorted(odd))}: unknown, or missing")
        if traits.auto_named:
            inputs.setdefault(traits.named, f"{args.name}-0abcdef")
        made, told = kind.create(CONTEXT, inputs)
        self.made.append(Made(args.typ, made, inputs, told))
        return made, {**inputs, **told}


def make(stack: str = "test", **config: str) -> list[Made]:
    """The resources of a stack of the aws target in the order in which they came to be."""
    rows = Rows()
    config = {"target": "aws", "region": REGION, **config}
    try:
        run(program, config, {"modelApiKey": "model-api-key-of-the-team"}, stack=stack, answers=rows)
    except Exception as error:  # noqa: BLE001 - of whatever kind
        # Pulumi's own cause leads through more coroutines than pytest shows.
        raise AssertionError("".join(traceback.format_exception(error)[-12:])) from None
    return rows.made


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
