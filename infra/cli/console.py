"""What the commands show: a line for each resource that changes, the messages that matter, and nothing else."""

from __future__ import annotations

import sys
import time
from typing import Final

from pulumi.automation import EngineEvent, OpType

from infra.cli.terminal import visible

VERBS: Final = {
    OpType.CREATE: "made",
    OpType.UPDATE: "changed",
    OpType.DELETE: "deleted",
    OpType.CREATE_REPLACEMENT: "made anew",
    OpType.DELETE_REPLACED: "deleted the old",
}

PLANS: Final = {
    OpType.CREATE: "would make",
    OpType.UPDATE: "would change",
    OpType.DELETE: "would delete",
    OpType.CREATE_REPLACEMENT: "would make anew",
    OpType.DELETE_REPLACED: "would delete the old",
}

BUILDS: Final = frozenset({OpType.CREATE, OpType.UPDATE, OpType.CREATE_REPLACEMENT})
"""What takes a while where it is done to an image."""

QUIET: Final = ("pulumi:pulumi:Stack", "pulumi:providers:", "vaporforge:docker:")
"""Types that are no thing on the engine."""

RAISED: Final = "Exception calling application: "
"""What gRPC puts before the sentence that a dynamic resource raised."""

TOLD: Final = "using pulumi-resource-docker from $PATH"
"""A warning that the commands give themselves, once and in their own words."""


def say(text: str = "") -> None:
    """A line for the person who runs the command; progress goes to stderr, so that stdout holds results alone. What
    Pulumi and the engine say may hold names and output of others."""
    sys.stderr.write(f"{visible(text)}\n")
    sys.stderr.flush()


class Progress:
    """The engine's events as lines. `errors`: what it reported as one. `planned`: they are a preview's, and what would
    be done is the command's result, on stdout."""

    def __init__(self, *, planned: bool = False) -> None:
        self.errors: list[str] = []
        self._planned = planned
        self.changes = 0
        self._begun: dict[str, float] = {}
        self._said: dict[str, float] = {}

    def __call__(self, event: EngineEvent) -> None:
        """For `on_event` of the Automation API."""
        if event.resource_pre_event is not None:
            self._begin(event.resource_pre_event.metadata)
        elif event.res_outputs_event is not None:
            self._end(event.res_outputs_event.metadata)
        elif event.diagnostic_event is not None:
            self._diagnostic(event)

    def _begin(self, metadata: object) -> None:
        urn, operation = str(getattr(metadata, "urn", "")), getattr(metadata, "op", None)
        if operation in VERBS:
            self._begun[urn] = time.monotonic()
            if not self._planned and _type(urn).endswith(":Image") and operation in BUILDS:
                say(f"    building {_name(urn)} …")

    def _end(self, metadata: object) -> None:
        urn, operation = str(getattr(metadata, "urn", "")), getattr(metadata, "op", None)
        if operation in VERBS and not _type(urn).startswith(QUIET):
            self.changes += 1
            if self._planned:
                sys.stdout.write(f"    {PLANS[OpType(operation)]} {visible(_name(urn))}\n")
                return
            took = time.monotonic() - self._begun.get(urn, time.monotonic())
            say(f"    {VERBS[OpType(operation)]} {_name(urn)}" + (f" ({took:.1f} s)" if took >= 1 else ""))

    def _diagnostic(self, event: EngineEvent) -> None:
        diagnostic = event.diagnostic_event
        if diagnostic is None or diagnostic.ephemeral:
            return
        text = diagnostic.message.strip().removeprefix(RAISED)
        where = (
            f"{_name(diagnostic.urn)}: "
            if diagnostic.urn and not _type(diagnostic.urn).startswith(QUIET)
            else ""
        )
        if diagnostic.severity == "error" and text:
            self.errors.append(where + text)
        elif diagnostic.severity == "warning" and text and not text.startswith(TOLD):
            say(f"    warning: {where}{text}")


def _type(urn: str) -> str:
    return urn.split("::")[2].rsplit("$", 1)[-1] if urn.count("::") >= 3 else ""


def _name(urn: str) -> str:
    return f"{_type(urn).rsplit(':', 1)[-1]} {urn.rsplit('::', 1)[-1]}"
