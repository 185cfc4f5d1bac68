"""Which settings change, as a person reads it in the engine's events."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi.automation import EngineEvent, OpType
from pulumi.automation.events import ResourcePreEvent, StepEventMetadata, StepEventStateMetadata

from infra.cli.console import Progress

URN = "urn:pulumi:dev::vaporforge::vaporforge:docker:Gateway::vaporforge-dev-gateway"


def state(**inputs: Any) -> StepEventStateMetadata:
    return StepEventStateMetadata(type="t", urn=URN, id="", parent="", provider="", inputs=inputs, outputs={})


def begun(old: StepEventStateMetadata, new: StepEventStateMetadata) -> EngineEvent:
    """An update of the gateways' component begins."""
    metadata = StepEventMetadata(
        op=OpType.UPDATE, urn=URN, type="vaporforge:docker:Gateway", provider="", old=old, new=new
    )
    return EngineEvent(sequence=1, timestamp=1, resource_pre_event=ResourcePreEvent(metadata))


OLD = {"VF_AGENT": "demo", "VF_MODEL": "a", "VF_QUEUE_LIMIT": "20"}
NEW = {"VF_AGENT": "demo", "VF_QUEUE_LIMIT": "7", "VF_REGION": "there\x1b[2J"}

LINES = (
    "    Gateway vaporforge-dev-gateway: VF_MODEL a => (not set)\n"
    "    Gateway vaporforge-dev-gateway: VF_QUEUE_LIMIT 20 => 7\n"
    "    Gateway vaporforge-dev-gateway: VF_REGION (not set) => there\\x1b[2J\n"
)


def test_a_preview_says_which_setting_changes(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(planned=True)(begun(state(settings=OLD), state(settings=NEW)))
    assert capsys.readouterr().out == LINES


def test_an_update_says_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    Progress()(begun(state(settings=OLD), state(settings=NEW)))
    assert capsys.readouterr().err == LINES


def test_a_stack_that_had_none_written_down_lists_none(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(planned=True)(begun(state(), state(settings=NEW)))
    assert capsys.readouterr().out == ""
