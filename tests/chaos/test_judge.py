"""The judge: what a run without an answer may be."""

from __future__ import annotations

import pytest

from container.protocol import encode
from tests.chaos.judge import Evidence, Verdict, judge_run

BEGUN = [{"type": "run"}, {"type": "text-delta", "text": ""}]


@pytest.mark.parametrize(
    ("frames", "reason", "faultless"),
    [
        ([{"type": "run"}], "stopped", True),
        (BEGUN, "stopped", False),
        ([{"type": "run"}], "lost", False),
    ],
    ids=["stopped in the queue", "stopped while it ran", "lost"],
)
def test_a_run_without_an_answer(frames: list[dict[str, str]], reason: str, faultless: bool) -> None:
    end = {"type": "process-exit", "reason": reason}
    verdict = Verdict()
    evidence = Evidence(
        run="run",
        session="session",
        expected_text="1 2 3 ",
        histories=[],
        recorded=[encode(frame) for frame in (*frames, end)],
        written=None,
        answers=[],
        questions=1,
        stop_asked=reason == "stopped",
    )
    judge_run(verdict, evidence)
    assert verdict.faultless is faultless
