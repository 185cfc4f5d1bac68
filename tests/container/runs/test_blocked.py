"""What a run is told of hosts that were not reached: each once, and of so many."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from container.egress import MAX_NOTES
from container.runs.service import RunService


class Told:
    """As much of a run as is asked."""

    def __init__(self, *, is_final: bool = False) -> None:
        self.is_final = is_final
        self.blocked: set[str] = set()
        self.frames: list[bytes] = []

    def append(self, frames: list[bytes]) -> None:
        self.frames += frames


def note(run: Told | None, host: str) -> None:
    RunService.note_blocked(cast("Any", SimpleNamespace(active=run)), host, host.encode())


def test_a_run_is_told_of_so_many_hosts_each_once() -> None:
    run = Told()
    for number in range(MAX_NOTES + 10):
        for _ in range(2):
            note(run, f"h{number}.example")
    assert run.frames == [f"h{number}.example".encode() for number in range(MAX_NOTES)]


def test_without_a_run_and_behind_its_end_nobody_is_told() -> None:
    note(None, "a.example")
    ended = Told(is_final=True)
    note(ended, "a.example")
    assert not ended.frames
