"""Processes that are the agent's user's and not the agent's: those of terminals, which do not end or halt with it.

Known by what they cannot choose: the session they are in (setsid(2) makes a new one, and nothing joins another's), or
that they descend from one that is in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

_STATE, _PARENT, _SESSION = 0, 1, 3
"""Positions in `/proc/<pid>/stat` behind the command's name (proc(5))."""

ENDED: Final = "ZX"
"""States of what runs no more."""

HALTED: Final = "Tt"
"""States of what was stopped by a signal, or by who traces it."""


class _Process(NamedTuple):
    state: str
    parent: int
    session: int


class Spared:
    """`leaders`: the pids of the terminals' shells, each of which leads a session."""

    def __init__(self) -> None:
        self.leaders: set[int] = set()

    def members(self) -> dict[int, str]:
        """The state of each of their processes, by pid; zombies are none. Takes some milliseconds where there is a
        terminal."""
        return processes_of(self.leaders)


def processes_of(leaders: Iterable[int]) -> dict[int, str]:
    """What is in the sessions of these leaders, or has come of what is: the state by pid, parents first."""
    wanted = frozenset(leaders)
    if not wanted:
        return {}
    found = dict(_processes())
    ours: dict[int, bool] = {}

    def is_ours(pid: int) -> bool:
        if pid not in ours:
            process = found.get(pid)
            ours[pid] = False  # a chain of parents has no circle, but pids are read one after another
            ours[pid] = process is not None and (process.session in wanted or is_ours(process.parent))
        return ours[pid]

    return {pid: process.state for pid, process in sorted(found.items()) if is_ours(pid)}


def _processes() -> Iterable[tuple[int, _Process]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):  # it ended just now
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                process = _Process(fields[_STATE], int(fields[_PARENT]), int(fields[_SESSION]))
                if process.state not in ENDED:
                    yield int(entry.name), process
