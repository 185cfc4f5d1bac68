"""Processes of this machine as Linux shows them in `/proc` (proc(5)): identity, end, and orderly stop."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_PROC = Path("/proc")
_STATE, _THREADS, _START_TIME, _EXIT_CODE = 0, 17, 19, 49
"""Positions in `/proc/<pid>/stat` behind the command's name, which is its second field (proc(5))."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process, never mistaken for a later one of the same pid. `birth`: boot id and start time in ticks."""

    pid: int
    birth: str

    def alive(self) -> bool:
        """Whether anything of it still runs: a zombie does not, but its other threads may for a moment."""
        stat = self._stat()
        return stat is not None and (stat[_STATE] not in "ZX" or int(stat[_THREADS]) > 1)

    def end_status(self) -> int | None:
        """How it ended, as `waitpid` says, while nobody has reaped it (a child of ours is reaped here), else None."""
        stat = self._stat()
        if stat is None or stat[_STATE] != "Z":
            return None
        with contextlib.suppress(ChildProcessError):  # another's child, or reaped by another thread just now
            os.waitpid(self.pid, os.WNOHANG)
        return int(stat[_EXIT_CODE])

    def _stat(self) -> list[str] | None:
        stat = _stat(self.pid)
        return stat if stat is not None and _birth(stat) == self.birth else None


def spawn(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], output: Path) -> Process:
    """Start a program as the leader of a session of its own, its output appended to a file.

    It outlives this process, and no object of ours waits for it.
    """
    shell = ["/bin/sh", "-c", 'cd -- "$0" && exec "$@"', str(cwd), *argv]
    appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        shell[0],
        shell,
        dict(env),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(output), appending, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGINT, signal.SIGPIPE, signal.SIGTERM],
    )
    stat = _stat(pid)
    return Process(pid, _birth(stat) if stat is not None else "")


def end(process: Process, *, grace: float) -> None:
    """SIGTERM to its group, after `grace` seconds SIGKILL; blocks for at most `grace` and two seconds."""
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 2.0)):
        if process.alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            _wait(lambda: not process.alive(), seconds)
    process.end_status()


def end_holders(variable: str, value: str) -> None:
    """SIGKILL to every process of ours whose environment has this variable; blocks for at most two seconds."""

    def gone() -> bool:
        found = _holders(f"{variable}={value}".encode())
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not found

    _wait(gone, 2.0)


def _holders(wanted: bytes) -> list[int]:
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:  # it ended just now, or is another user's
                continue
            if wanted in environment.split(b"\0"):
                found.append(int(entry.name))
    return found


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    pause = 0.002
    while not condition() and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def _birth(stat: Sequence[str]) -> str:
    boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{stat[_START_TIME]}"
