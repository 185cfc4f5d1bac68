"""The last frames that a gateway writes for a sandbox: a disk's are told in an error too, before the loss."""

from __future__ import annotations

import json

import pytest

from gateway.model import Mode, Run, RunState
from gateway.runs.recording.last_frames import last_frames


@pytest.mark.parametrize(
    ("lost", "types"),
    [
        ("oom", ["sandbox-lost", "process-exit"]),
        ("disk-quota", ["error", "sandbox-lost", "process-exit"]),
        ("disk-low", ["error", "sandbox-lost", "process-exit"]),
    ],
)
def test_what_a_lost_run_ends_with(lost: str, types: list[str]) -> None:
    run = Run(
        id="r",
        session="s",
        owner="ada",
        message="m",
        state=RunState.RUNNING,
        mode=Mode.AGENT,
        cwd="/workspace",
        created_at=0.0,
        recorded=4,
    )
    frames = [json.loads(line) for line in last_frames(run, RunState.LOST, lost=lost).splitlines()]
    assert [frame["type"] for frame in frames] == types
    assert [frame["seq"] for frame in frames] == list(range(5, 5 + len(types)))
    assert frames[-2]["reason"] == lost
    assert frames[-1]["reason"] == "lost"
    assert all(frame["code"] == lost for frame in frames if frame["type"] == "error")
