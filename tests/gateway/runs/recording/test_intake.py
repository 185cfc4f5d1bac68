"""What a recorder takes in: frames in their order and place, and none beyond the protocol's limits."""

from __future__ import annotations

import time

import pytest

from container.protocol import MAX_DEPTH, MAX_FRAME_BYTES, encode, stamp
from gateway.errors import RunTooLarge, SandboxFaulty
from gateway.runs.recording import intake
from gateway.runs.recording.intake import NOISE_BYTES, NOISE_LINES, Intake
from gateway.runs.recording.judge import Fault
from gateway.runs.recording.transcript import Transcript
from tests.gateway.fakes import RUN, line

FIRST = line(1, "run")
STATUS = b'{"type":"status","phase":"paused","run":"r1"}'


def taken(intake: Intake) -> bytes:
    return b"".join(intake.frames)


def begun() -> Intake:
    """Its run's first frame is taken."""
    one = Intake(Transcript(), RUN)
    assert one.take(FIRST)
    return one


def nested(levels: int, seq: int) -> bytes:
    return b'{"type":"x","v":' + b"[" * levels + b"]" * levels + b',"run":"r1","seq":%d}' % seq


def test_new_frames_are_taken_once_and_in_order() -> None:
    one = begun()
    assert one.take(line(2) + b"\n" + line(3))
    assert taken(one) == FIRST + b"\n" + line(2) + b"\n" + line(3) + b"\n"


FAULTS = {
    "a frame is missing": (Fault.GAP, line(4)),
    "a frame that was there": (Fault.REPEATED, line(2)),
    "the first once more": (Fault.REPEATED, FIRST),
    "number 0": (Fault.REPEATED, line(0)),
    "another run's": (Fault.FOREIGN, stamp(encode({"type": "text-delta"}), "r2", 3)),
    "its run is not at its end": (Fault.FOREIGN, b'{"type":"x","run":"r1","y":1,"seq":3}'),
    "no run": (Fault.FOREIGN, b'{"type":"x","seq":3}'),
    "a number with a zero before it": (Fault.FOREIGN, b'{"type":"x","run":"r1","seq":03}'),
    "no JSON": (Fault.NO_FRAME, b'{"type":oops,"run":"r1","seq":3}'),
    "no UTF-8": (Fault.NO_FRAME, b'{"type":"\xc3\x28","run":"r1","seq":3}'),
    "no type": (Fault.NO_FRAME, b'{"run":"r1","seq":3}'),
    "a type that is a list": (Fault.NO_FRAME, b'{"type":["run"],"run":"r1","seq":3}'),
    "one level too many": (Fault.TOO_DEEP, nested(MAX_DEPTH, 3)),
    "deeper than any parser takes": (Fault.NO_FRAME, nested(50_000, 3)),
    "deep, and with half a surrogate pair": (
        Fault.NO_FRAME,
        b'{"type":"\\ud83d","v":' + b"[" * 50_000 + b"]" * 50_000 + b',"run":"r1","seq":3}',
    ),
    "`run` in the middle": (Fault.MISPLACED, line(3, "run")),
    **{
        f"`{kind}` with a number": (Fault.MISPLACED, line(3, kind))
        for kind in ("status", "ping", "replay-complete", "reconnect", "timing", "ready")
    },
}


@pytest.mark.parametrize(("kind", "frame"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_refused_by_its_class_and_what_came_before_is_kept(kind: Fault, frame: bytes) -> None:
    one = begun()
    with pytest.raises(SandboxFaulty, match=f"\\({kind}\\)"):
        one.take(line(2) + b"\n" + frame + b"\n" + line(3))
    assert taken(one) == FIRST + b"\n" + line(2) + b"\n"


def test_a_run_begins_with_run() -> None:
    one = Intake(Transcript(), RUN)
    with pytest.raises(SandboxFaulty, match=Fault.MISPLACED):
        one.take(line(1))
    assert one.frames == []


def test_as_many_levels_as_a_frame_may_have_are_taken() -> None:
    one = begun()
    assert one.take(nested(MAX_DEPTH - 1, 2))


def test_behind_sandbox_lost_comes_the_end_alone() -> None:
    one = begun()
    with pytest.raises(SandboxFaulty, match=Fault.MISPLACED):
        one.take(line(2, "sandbox-lost", reason="oom") + b"\n" + line(3))
    assert one.take(line(3, "process-exit", reason="lost"))


def test_nothing_follows_the_end() -> None:
    one = begun()
    last = line(2, "process-exit", reason="completed")
    assert one.take(last + b"\n" + line(3) + b"\n" + line(9))
    assert taken(one).endswith(last + b"\n")


def test_what_is_no_frame_of_the_run_is_passed_over_as_long_as_there_is_little_of_it() -> None:
    one = begun()
    assert not one.take(b"\n".join([STATUS] * (NOISE_LINES // 2)))
    with pytest.raises(SandboxFaulty, match=Fault.NOISE):
        one.take(b"\n".join([STATUS] * NOISE_LINES))
    assert taken(one) == FIRST + b"\n"


@pytest.mark.parametrize("message", [b"", b"x", b"\n" * 50, b"x" * (NOISE_BYTES // 50)])
def test_a_flood_of_nothing_is_a_fault(message: bytes) -> None:
    one = begun()

    def flood() -> None:
        for _ in range(NOISE_LINES * 2):
            one.take(message)

    with pytest.raises(SandboxFaulty, match=Fault.NOISE):
        flood()


def test_a_noise_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    one = begun()
    for _ in range(5):
        now += intake.NOISE_SECONDS
        one.take(b"\n".join([STATUS] * (NOISE_LINES * 9 // 10)))


def test_a_frame_over_the_limit_is_refused_and_those_before_it_are_kept() -> None:
    one = Intake(Transcript(), RUN)
    with pytest.raises(RunTooLarge):
        one.take(FIRST + b"\n" + line(2, text="x" * MAX_FRAME_BYTES))
    assert taken(one) == FIRST + b"\n"


def test_a_run_over_the_limit_is_refused_whoever_recorded_its_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "RUN_BYTES", 2 * (len(line(1)) + 1) + len(FIRST) + 1)
    one = Intake(Transcript(), RUN)
    one.know(FIRST + b"\n")
    one.clear()
    assert one.take(line(2) + b"\n" + line(3))
    with pytest.raises(RunTooLarge):
        one.take(line(4))
    assert one.take(line(4), own=True)  # the run's last words still fit
