"""Background jobs: what an agent has left running behind its answer, whether it does anything, and what became of it.

A job is a process of the agent's tree that does not hang on the agent's own any more: its parents have ended, or it
leads a session of its own, as what Claude Code's shells start does. What merely waits beside the agent is none.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from container.uids import SAME, AgentUser

log = logging.getLogger(__name__)

MOST_TOLD: Final = 10
MOST_CHARS: Final = 200
"""Jobs that are named, and characters of a name."""

MOST_BYTES: Final = 64 * 1024
"""More than all the names take, each character escaped."""

_PARENT, _SESSION, _STARTED = 1, 3, 19
"""Positions in `/proc/<pid>/stat` behind the command's name (proc(5))."""

_LISTEN: Final = "0A"
"""TCP_LISTEN in `/proc/<pid>/net/tcp`, whose tenth column is the socket's inode."""


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    session: int
    started: int


class Jobs:
    """Finds jobs in `/proc`. All its methods block for some milliseconds."""

    def __init__(
        self, path: Path, family: Callable[[], tuple[int, set[int]]], user: AgentUser = SAME
    ) -> None:
        """`path`: where their names are kept, so that they can be told when all of them have ended with the sandbox.
        `family`: the agent's own pid, and the pids of all that has come of it. `user`: whose they are."""
        self._path = path
        self._user = user
        self._family = family
        self._lock = threading.Lock()
        """A look, in a thread of its own, may end while a run begins."""
        self._leader = 0
        self._written: dict[tuple[int, int], int] = {}
        self._active_at = 0.0
        self._names: list[str] = []
        self._ended: list[str] = []
        self._saved: list[str] = []

    @property
    def quiet_seconds(self) -> float | None:
        """For how long no job was seen to write or to listen; None where there is no job."""
        return time.monotonic() - self._active_at if self._written else None

    def start(self) -> None:
        """Learn what has ended with the last sandbox, or with the one that a snapshot is of."""
        with self._user.acting():
            self._saved = self._ended = self._read()

    def look(self) -> None:
        """See which jobs there are, and what they do."""
        with self._user.acting():
            self._look()

    def _look(self) -> None:
        leader, members = self._family()
        jobs = _jobs(leader, members)
        written = {(job.pid, job.started): _written(job.pid) for job in jobs}
        pids = {job.pid for job in jobs}
        names = [_name(job.pid) for job in jobs if job.parent not in pids]
        listens = any(_listens(job.pid) for job in jobs)
        with self._lock:
            self._end_with_their_agent()
            if not _is_there(leader):  # it ended meanwhile, and they with it
                self._save()
                return
            if listens or any(count > self._written.get(job, -1) for job, count in written.items()):
                self._active_at = time.monotonic()
            self._leader, self._written, self._names = leader, written, names
            self._save()

    def take_ended(self) -> list[str]:
        """The names of those that have ended with their sandbox or their agent; each is told once."""
        with self._user.acting(), self._lock:
            self._end_with_their_agent()
            ended, self._ended = self._ended[:MOST_TOLD], []
            if ended:
                self._save()
        return ended

    def _end_with_their_agent(self) -> None:
        """What an agent has started ends with it: known without a look, for the next run may begin before one."""
        if not _is_there(self._leader):
            self._ended = [*self._ended, *self._names]
            self._leader, self._written, self._names = 0, {}, []

    def _read(self) -> list[str]:
        # An agent may have put anything there: a pipe would be waited for, and a device has no end.
        if not self._path.is_file():
            return []
        try:
            with self._path.open("rb") as file:
                names = json.loads(file.read(MOST_BYTES))
        except (OSError, ValueError, RecursionError) as error:
            log.warning("what jobs have ended is not known: %s", error)
            return []
        told = names if isinstance(names, list) else []
        return [_printable(str(name)) for name in told[:MOST_TOLD]]

    def _save(self) -> None:
        """What is to be told once all of this has ended."""
        names = [*self._ended, *self._names][:MOST_TOLD]
        if names == self._saved:
            return
        try:
            if names:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                draft = self._path.with_suffix(".new")
                draft.unlink(missing_ok=True)  # a pipe in its place would be waited for
                draft.write_text(json.dumps(names), "utf-8")
                draft.replace(self._path)
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("the background jobs are not kept: %s", error)
        self._saved = names


def _jobs(leader: int, members: Iterable[int]) -> list[_Process]:
    found = {process.pid: process for pid in sorted(members) if (process := _process(pid))}
    own = found.get(leader)
    if own is None:
        return []

    def is_job(process: _Process) -> bool:
        while process.pid != leader:
            parent = found.get(process.parent)
            if process.session != own.session or parent is None:
                return True
            process = parent
        return False

    return [process for process in found.values() if is_job(process)]


def _is_there(leader: int) -> bool:
    return leader != 0 and Path(f"/proc/{leader}").exists()


def _process(pid: int) -> _Process | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:  # it ended just now
        return None
    return _Process(pid, int(fields[_PARENT]), int(fields[_SESSION]), int(fields[_STARTED]))


def _written(pid: int) -> int:
    """How many bytes it has written, to whatever."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/io").read_text().splitlines():
            if line.startswith("wchar:"):
                return int(line.partition(":")[2])
    return 0


def _listens(pid: int) -> bool:
    """Whether one of its sockets waits for connections."""
    waiting = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == _LISTEN:
                    waiting.add(f"socket:[{columns[9]}]")
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(descriptor.readlink()) in waiting:
                    return True
    return False


def _name(pid: int) -> str:
    """Its command line, as far as it can be shown."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        if name := _printable(words):
            return name
    return f"process {pid}"


def _printable(text: str) -> str:
    shown = "".join(sign if sign.isprintable() else " " for sign in text)
    return " ".join(shown.split())[:MOST_CHARS]
