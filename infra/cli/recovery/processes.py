"""Processes of this machine: which of them a killed command left, and whether one that is named still lives."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
"""Where Linux tells of processes (proc(5)); on other systems nothing is found there, and nothing is ended."""

VARIABLE: Final = "VF_COMMAND"
"""In the environment of all that a command starts, and that these start: who it was, and for what."""

END_SECONDS: Final = 20.0
"""For so long a process may finish what it does: the docker plugin takes away a container that it was making."""

GONE_SECONDS: Final = 5.0
"""How long the kernel may take to end what is killed."""

OURS: Final = re.compile(r"pulumi|python|docker(?!d)")
"""Names of what a command starts. What these start for the user and for longer (the connection that ssh shares, an
agent that keeps passphrases) has the mark too, and stays."""


def mark(folder: Path, stack: str) -> dict[str, str]:
    """What a command adds to the environment of what it starts, to be found by `left` when it is dead."""
    return {VARIABLE: f"{os.getpid()} {_ticks(os.getpid())} {stack} {folder}"}


def left(folder: Path, stack: str) -> list[int]:
    """The processes that dead commands for this stack of this state folder started."""
    return sorted(
        pid
        for pid, (owner, begun, of) in _marked()
        if of == f"{stack} {folder}" and _ticks(owner) != begun and OURS.search(_name(pid))
    )


def end(pids: list[int], seconds: float = END_SECONDS) -> None:
    """Ask them to end, and kill those that have not when the time is over; they are gone then. An id that was given
    again meanwhile is another process."""
    begun = {pid: ticks for pid in pids if (ticks := _ticks(pid))}
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, GONE_SECONDS)):
        deadline = time.monotonic() + patience
        _signal([pid for pid in begun if _ticks(pid) == begun[pid]], number)
        while any(_ticks(pid) == begun[pid] for pid in begun) and time.monotonic() < deadline:
            time.sleep(0.05)


def lives(pid: int, since: float) -> bool:
    """Whether the process that had this id at `since` still does. Where nothing tells when one started, any will do;
    and so will any `pulumi`, for the clock may have been set since: that only makes somebody wait."""
    if (PROC / str(pid) / "stat").is_file():
        return 0 < _started(pid) <= since + 1 or (_ticks(pid) > 0 and "pulumi" in _name(pid))
    # Also on Linux: another user's may be hidden (proc(5), hidepid).
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not PROC.joinpath("stat").is_file()


def _ticks(pid: int) -> int:
    """When it was started, in ticks since the boot: with its id, its identity. 0 where there is no such process, or a
    dead one that nobody has waited for."""
    try:
        told = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The name, in brackets, may hold spaces; what follows it does not (proc_pid_stat(5)).
    fields = told.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])


def _name(pid: int) -> str:
    """What is run, in its first 15 letters; empty where that cannot be told."""
    try:
        return (PROC / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _started(pid: int) -> float:
    """When it was started, in seconds since the epoch; 0 where there is none."""
    boot = re.search(r"^btime (\d+)$", (PROC / "stat").read_text(encoding="utf-8"), re.MULTILINE)
    ticks = _ticks(pid)
    # The kernel tells of the boot in whole seconds.
    return int(boot[1]) + ticks / os.sysconf("SC_CLK_TCK") if boot and ticks else 0.0


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def _marked() -> Iterator[tuple[int, tuple[int, int, str]]]:
    for folder in PROC.glob("[0-9]*"):
        try:
            environ = _environ((folder / "environ").read_bytes())
            owner, begun, of = environ[VARIABLE].split(" ", 2)
            # A container has ids of its own: the owner that its processes name is none of this table's.
            if (folder / "ns" / "pid").readlink() == (PROC / "self" / "ns" / "pid").readlink():
                yield int(folder.name), (int(owner), int(begun), of)
        except (OSError, KeyError, ValueError):
            continue


def _environ(content: bytes) -> Mapping[str, str]:
    return dict(item.split("=", 1) for item in os.fsdecode(content).split("\0") if "=" in item)
