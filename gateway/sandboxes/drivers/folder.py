"""The folder of a session under the `process` driver's root: its paths, its lock and its record."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.sandboxes.drivers.procs import Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Record:
    """What `state.json` holds. `ended`: None while it may run, "" after `stop`, else why it ended.
    `start`: its name (`Sandbox.start`)."""

    process: Process
    started_at: float
    ended: str | None
    start: str = ""


class Folder:
    """`<root>/<session>/{workspace,home,pending,port,state.json,sandbox.log}`.

    Its lock is `<root>/.locks/<session>`, outside of what `delete` removes.
    """

    def __init__(self, root: Path, session: str) -> None:
        self.path = root / session
        self.workspace = self.path / "workspace"
        self.home = self.path / "home"
        self.pending = self.path / "pending"
        self.port_file = self.path / "port"
        self.log_file = self.path / "sandbox.log"
        self.lock_file = root / ".locks" / session
        self._state_file = self.path / "state.json"

    def create(self) -> None:
        """Make what is missing, and forget the port of the process before."""
        for path in (self.workspace, self.home, self.pending):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.port_file.unlink(missing_ok=True)

    def read(self) -> Record | None:
        """None when no sandbox was ever started."""
        try:
            data = json.loads(self._state_file.read_text())
        except FileNotFoundError:
            return None
        process = Process(data["pid"], data["birth"])
        return Record(process, data["startedAt"], data["ended"], data.get("start", ""))

    def write(self, record: Record) -> None:
        """Replace the record, whole or not at all."""
        data = {
            "pid": record.process.pid,
            "birth": record.process.birth,
            "startedAt": record.started_at,
            "ended": record.ended,
            "start": record.start,
        }
        scratch = self._state_file.with_suffix(".new")
        scratch.write_text(json.dumps(data))
        scratch.replace(self._state_file)

    def port(self) -> int:
        """The agent server's port, 0 until it has written it."""
        try:
            return int(self.port_file.read_text())
        except FileNotFoundError:
            return 0

    def log_tail(self) -> str:
        """The last lines that the sandbox wrote."""
        try:
            return self.log_file.read_text(errors="replace")[-2000:].strip()
        except FileNotFoundError:
            return ""

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold an exclusive flock(2). Its file goes with the folder: who locked a deleted one tries again."""
        while True:
            self.lock_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if self._is_lock(descriptor):
                    try:
                        yield
                    finally:
                        if not self.path.exists():
                            self.lock_file.unlink()
                    return
            finally:
                os.close(descriptor)

    def _is_lock(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.lock_file.stat())
        except FileNotFoundError:
            return False
