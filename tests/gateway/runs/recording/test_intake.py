"""What a recorder takes in: frames in their order, and none beyond the protocol's limits."""

from __future__ import annotations

import pytest

from container.protocol import MAX_FRAME_BYTES
from gateway.errors import RunTooLarge
from gateway.runs.recording import intake
from gateway.runs.recording.intake import Gap, Intake
from gateway.runs.recording.transcript import Transcript
from tests.gateway.fakes import line


def taken(intake: Intake) -> bytes:
    return b"".join(intake.frames)


def test_new_frames_are_taken_once_and_a_gap_is_an_error() -> None:
    one = Intake(Transcript())
    assert one.take(line(1) + b"\n" + line(2))
    assert not one.take(line(2))
    with pytest.raises(Gap):
        one.take(line(4))
    assert taken(one) == line(1) + b"\n" + line(2) + b"\n"


def test_a_frame_over_the_limit_is_refused_and_those_before_it_are_kept() -> None:
    one = Intake(Transcript())
    with pytest.raises(RunTooLarge):
        one.take(line(1) + b"\n" + line(2, text="x" * MAX_FRAME_BYTES))
    assert taken(one) == line(1) + b"\n"


def test_a_run_over_the_limit_is_refused_whoever_recorded_its_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "RUN_BYTES", 3 * (len(line(1)) + 1))
    one = Intake(Transcript())
    one.know(line(1) + b"\n")
    one.clear()
    assert one.take(line(2) + b"\n" + line(3))
    with pytest.raises(RunTooLarge):
        one.take(line(4))
    assert one.take(line(4), own=True)  # the run's last words still fit


def test_nesting_that_no_parser_takes_is_no_frame() -> None:
    one = Intake(Transcript())
    deep = b'{"type":"tool-start","input":' + b"[" * 50_000 + b"]" * 50_000 + b',"run":"r1","seq":1}'
    with pytest.raises(Gap):
        one.take(deep)
    assert one.frames == []
