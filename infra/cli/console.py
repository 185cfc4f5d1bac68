"""What the commands show: a line for each resource that changes, the messages that matter, and nothing else."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

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

STACK: Final = "pulumi:pulumi:Stack"

QUIET: Final = (STACK, "pulumi:providers:", "vaporforge:docker:")
"""Types that are no thing on the engine."""

RAISED: Final = "Exception calling application: "
"""What gRPC puts before the sentence that a dynamic resource raised."""

TOLD: Final = "using pulumi-resource-docker from $PATH"
"""A warning that the commands give themselves, once and in their own words."""

EVERY_SECONDS: Final = 10.0
"""So often a long wait is told."""


def say(text: str = "") -> None:
    """A line for the person who runs the command; progress goes to stderr, so that stdout holds results alone. What
    Pulumi and the engine say may hold names and output of others."""
    sys.stderr.write(f"{visible(text)}\n")
    sys.stderr.flush()


@contextmanager
def told(doing: Callable[[], str] | str, every: float = EVERY_SECONDS) -> Iterator[None]:
    """While this lasts a line is said every `every` seconds. `doing`: words, or what gives them; none, no line."""
    begun, over = time.monotonic(), threading.Event()

    def tell() -> None:
        while not over.wait(every):
            words = doing if isinstance(doing, str) else doing()
            if words:
                say(f"    … {time.monotonic() - begun:.0f} s: {words}")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


class Times:
    """What each part of a command took. It begins with those of the set-up, which scripts/up gives as
    `docker 4 s,pulumi 250 s`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._took = [part for part in environ.get("VF_SETUP_TIMES", "").split(",") if part]
        self._begun = time.monotonic()

    def note(self, part: str) -> None:
        """That `part` is over, which began where the one before it ended."""
        now = time.monotonic()
        if now - self._begun >= 1:
            self._took.append(f"{part} {now - self._begun:.0f} s")
        self._begun = now

    def __str__(self) -> str:
        """Such as `docker 4 s, pulumi 250 s, deploying 31 s`; empty where nothing took a second."""
        return ", ".join(self._took)


class Progress:
    """The engine's events as lines. `errors`: what it reported as one. `planned`: they are a preview's, and what would
    be done is the command's result, on stdout. `outputs`: the stack's, once the engine has told them."""

    def __init__(self, *, planned: bool = False) -> None:
        self.errors: list[str] = []
        self._planned = planned
        self.changes = 0
        self.outputs: Mapping[str, Any] = {}
        self._begun: dict[str, float] = {}
        self._said: dict[str, float] = {}

    def __call__(self, event: EngineEvent) -> None:
        """For `on_event` of the Automation API."""
        if event.resource_pre_event is not None:
            self._begin(event.resource_pre_event.metadata)
            self._settings(event.resource_pre_event.metadata)
        elif event.res_outputs_event is not None:
            self._end(event.res_outputs_event.metadata)
        elif event.diagnostic_event is not None:
            self._diagnostic(event)

    def doing(self) -> str:
        """What is under way now, and for how long each has been."""
        now = time.monotonic()
        under_way = [(urn, now - begun) for urn, begun in list(self._begun.items())]
        things = [(urn, took) for urn, took in under_way if not _type(urn).startswith(QUIET)]
        return ", ".join(f"{_name(urn)} ({took:.0f} s)" for urn, took in things) or "asking the engine"

    def _begin(self, metadata: object) -> None:
        urn, operation = str(getattr(metadata, "urn", "")), getattr(metadata, "op", None)
        if operation in VERBS:
            self._begun[urn] = time.monotonic()
            if not self._planned and _type(urn).endswith(":Image") and operation in BUILDS:
                say(f"    building {_name(urn)} …")

    def _settings(self, metadata: object) -> None:
        """What changes of a part's plain settings, by name."""
        urn = str(getattr(metadata, "urn", ""))
        before, after = (_settings_of(getattr(metadata, side, None)) for side in ("old", "new"))
        if not (_type(urn).startswith("vaporforge:docker:") and before and after):
            return
        for key in sorted(key for key in {*before, *after} if before.get(key) != after.get(key)):
            line = f"    {_name(urn)}: {key} {before.get(key, '(not set)')} => {after.get(key, '(not set)')}"
            if self._planned:
                sys.stdout.write(f"{visible(line)}\n")
            else:
                say(line)

    def _end(self, metadata: object) -> None:
        urn, operation = str(getattr(metadata, "urn", "")), getattr(metadata, "op", None)
        begun = self._begun.pop(urn, time.monotonic())
        if _type(urn) == STACK:
            self.outputs = getattr(getattr(metadata, "new", None), "outputs", None) or {}
        if operation in VERBS and not _type(urn).startswith(QUIET):
            self.changes += 1
            if self._planned:
                sys.stdout.write(f"    {PLANS[OpType(operation)]} {visible(_name(urn))}\n")
                return
            took = time.monotonic() - begun
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


def _settings_of(state: object) -> Mapping[str, object]:
    """Empty for what has none, as in a stack of an earlier version."""
    settings = (getattr(state, "inputs", None) or {}).get("settings")
    return settings if isinstance(settings, Mapping) else {}


def _type(urn: str) -> str:
    return urn.split("::")[2].rsplit("$", 1)[-1] if urn.count("::") >= 3 else ""


def _name(urn: str) -> str:
    return f"{_type(urn).rsplit(':', 1)[-1]} {urn.rsplit('::', 1)[-1]}"
