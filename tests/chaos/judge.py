"""The judge: compares what every reader saw with what the others saw, what the store holds and what the agent wrote."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.history import History
from tests.chaos.target import AGENT_KILL, DISK_FULL, SANDBOX_KILL


@dataclass
class Verdict:
    """Sums over all runs; everything behind `reasons` must be zero."""

    runs: int = 0
    readers: int = 0
    reconnects: int = 0
    frames: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    different: int = 0
    refused: int = 0
    wrong_text: int = 0
    wrong_messages: int = 0
    wrong_ends: int = 0
    stuck: int = 0
    leftovers: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def faultless(self) -> bool:
        """Whether the promise was kept."""
        return not self.findings

    def find(self, what: str) -> None:
        """Write down a broken promise."""
        self.findings.append(what)


NEVER_RAN: Final = ["run", "process-exit"]
"""The frames of a run that was stopped before its turn came."""


@dataclass
class Evidence:
    """All that is known of one run."""

    run: str
    session: str
    expected_text: str
    histories: list[History]
    recorded: list[bytes]
    written: list[bytes] | None
    """What the sandbox's own log holds; None when it was dropped (recorded, or its volume deleted)."""
    answers: list[str]
    questions: int
    stop_asked: bool = False
    """Somebody stopped it, long before it could complete."""


def judge_run(verdict: Verdict, evidence: Evidence) -> None:
    """Add one run to the verdict."""
    verdict.runs += 1
    for history in evidence.histories:
        _judge_reader(verdict, evidence, history)
    ended = evidence.recorded and b'"type":"process-exit"' in evidence.recorded[-1]
    if not ended:
        verdict.stuck += 1
        verdict.find(f"run {evidence.run}: its end is not in the store ({len(evidence.recorded)} frames)")
        return
    reason = str(json.loads(evidence.recorded[-1])["reason"])
    verdict.reasons[reason] += 1
    if evidence.written is not None and evidence.written != evidence.recorded:
        verdict.different += 1
        verdict.find(
            f"run {evidence.run}: the sandbox's log ({len(evidence.written)}) and the store "
            f"({len(evidence.recorded)}) differ"
        )
    if reason == ("completed" if evidence.stop_asked else "stopped"):
        verdict.wrong_ends += 1
        verdict.find(
            f"run {evidence.run}: {reason}, and stopping it was{'' if evidence.stop_asked else ' not'} asked"
        )
    _judge_text(verdict, evidence, reason)


def judge_ends(verdict: Verdict, done: Mapping[str, int]) -> None:
    """Whether runs ended otherwise than completed as often as faults explain, and no more."""
    if verdict.reasons["lost"] != done.get(SANDBOX_KILL, 0):
        verdict.wrong_ends += 1
        verdict.find(
            f"{done.get(SANDBOX_KILL, 0)} sandboxes were killed in mid-run, and {verdict.reasons['lost']} runs lost"
        )
    if not done.get(DISK_FULL) and verdict.reasons["failed"] > done.get(AGENT_KILL, 0):
        verdict.wrong_ends += 1
        verdict.find(
            f"{done.get(AGENT_KILL, 0)} agents were killed, and {verdict.reasons['failed']} runs failed"
        )


def _judge_text(verdict: Verdict, evidence: Evidence, reason: str) -> None:
    text = _text(evidence.recorded)
    whole = text == evidence.expected_text
    if not whole and (reason == "completed" or not evidence.expected_text.startswith(text)):
        verdict.wrong_text += 1
        verdict.find(f"run {evidence.run}: {reason} with another text than the agent's")
    # One that was stopped while it waited for its turn has none: it never ran.
    types = [json.loads(frame)["type"] for frame in evidence.recorded]
    answers = [[text], []] if reason == "stopped" and types == NEVER_RAN else [[text]]
    if evidence.questions != 1 or evidence.answers not in answers:
        verdict.wrong_messages += 1
        verdict.find(
            f"run {evidence.run}: {reason}, {evidence.questions} user messages, answers of "
            f"{[len(answer) for answer in evidence.answers]} characters where the stream had {len(text)}"
        )


def _judge_reader(verdict: Verdict, evidence: Evidence, history: History) -> None:
    who = f"run {evidence.run} reader {history.name}"
    verdict.readers += 1
    verdict.reconnects += max(0, len(history.openings) - 1)
    verdict.frames += len(history.frames)
    if history.duplicated:
        verdict.duplicated += history.duplicated
        verdict.find(f"{who}: {history.duplicated} frames twice")
    if history.gaps:
        verdict.reordered += history.gaps
        verdict.find(f"{who}: {history.gaps} frames out of order")
    if history.refused:
        verdict.refused += 1
        verdict.find(f"{who}: refused with {', '.join(history.refused)}")
    missing = len(evidence.recorded) - len(history.frames)
    if missing:
        verdict.lost += abs(missing)
        verdict.find(f"{who}: saw {len(history.frames)} of {len(evidence.recorded)} frames")
    elif history.frames != evidence.recorded:
        verdict.different += 1
        verdict.find(f"{who}: saw other bytes than the store holds")


def _text(frames: list[bytes]) -> str:
    found = (json.loads(frame) for frame in frames)
    return "".join(frame["text"] for frame in found if frame["type"] == "text-delta")
