"""Long waits are told while they last, and what each part took at the end."""

from __future__ import annotations

import re
import threading
import time

import pytest
from pulumi.automation import OpType
from pulumi.automation.events import (
    EngineEvent,
    ResourcePreEvent,
    ResOutputsEvent,
    StepEventMetadata,
    StepEventStateMetadata,
)

from infra.cli import console
from infra.cli.console import Progress, Times, told


def test_a_wait_is_told_again_and_again_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    before = set(threading.enumerate())
    twice = threading.Event()

    def say(text: str = "") -> None:
        lines.append(text)
        if len(lines) == 2:
            twice.set()

    monkeypatch.setattr(console, "say", say)
    with told("building", every=0.01):
        assert twice.wait(30)
    assert set(threading.enumerate()) <= before
    assert {re.sub(r"\d+", "0", line) for line in lines} == {"    … 0 s: building"}


def test_nothing_is_told_while_there_is_nothing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()

    def nothing() -> str:
        asked.set()
        return ""

    monkeypatch.setattr(console, "say", lambda text="": pytest.fail(text))
    with told(nothing, every=0.01):
        assert asked.wait(30)


def event(operation: OpType, name: str, *, over: bool) -> EngineEvent:
    urn = f"urn:pulumi:dev::vaporforge::vaporforge:docker:Images$docker:index/image:Image::{name}"
    metadata = StepEventMetadata(op=operation, urn=urn, type="docker:index/image:Image", provider="")
    if over:
        return EngineEvent(1, 0, res_outputs_event=ResOutputsEvent(metadata))
    return EngineEvent(1, 0, resource_pre_event=ResourcePreEvent(metadata))


def test_what_is_under_way_is_what_began_and_has_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    progress = Progress()
    assert progress.doing() == "asking the engine"
    for name in ("gateway", "agent"):
        progress(event(OpType.CREATE, name, over=False))
    assert progress.doing() == "Image gateway (0 s), Image agent (0 s)"
    progress(event(OpType.CREATE, "gateway", over=True))
    progress(event(OpType.SAME, "proxy", over=False))
    assert progress.doing() == "Image agent (0 s)"


def test_times_go_on_from_those_of_the_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 100.5, 131.4, 131.5])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    times = Times({"VF_SETUP_TIMES": "docker 4 s,pulumi 250 s"})
    for part in ("preparing", "deploying", "until ready"):
        times.note(part)
    assert str(times) == "docker 4 s, pulumi 250 s, deploying 31 s"


def test_where_nothing_took_long_there_is_nothing_to_tell() -> None:
    times = Times({"VF_SETUP_TIMES": ""})
    times.note("deploying")
    assert str(times) == ""


def test_what_the_stack_will_tell_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    urn = "urn:pulumi:dev::vaporforge::pulumi:pulumi:Stack::vaporforge-dev"
    told = StepEventStateMetadata(
        type=console.STACK,
        urn=urn,
        id="",
        parent="",
        provider="",
        inputs={},
        outputs={"capacity": {"sessions": 2}},
    )
    metadata = StepEventMetadata(op=OpType.SAME, urn=urn, type=console.STACK, provider="", new=told)
    progress = Progress(planned=True)
    assert progress.outputs == {}
    progress(EngineEvent(1, 0, res_outputs_event=ResOutputsEvent(metadata)))
    assert progress.outputs == {"capacity": {"sessions": 2}}
    assert progress.changes == 0
    assert capsys.readouterr().out == ""
