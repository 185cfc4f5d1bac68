"""The locks of Pulumi's backend in a folder: files that name the process that holds a stack."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from infra.cli.recovery.backend import folder_of
from infra.cli.recovery.processes import lives
from infra.config import PROJECT


@dataclass(frozen=True, slots=True)
class Lock:
    """`path`: its file. `since`: seconds since the epoch."""

    path: Path
    pid: int
    host: str
    since: float

    @property
    def here(self) -> bool:
        """Whether its holder is, or was, a process of this machine."""
        return self.host == socket.gethostname()

    @property
    def dead(self) -> bool:
        """Whether that process is gone; never true for another machine's, which cannot be asked."""
        return self.here and not lives(self.pid, self.since)


def locks(backend: str, stack: str) -> list[Lock]:
    """Those on a stack of this project. `backend`: its URL; one that is no folder has none of these."""
    return list(_read(backend, stack))


def free(backend: str, stack: str) -> int:
    """Take away the locks of dead processes; how many there were."""
    dead = [lock for lock in locks(backend, stack) if lock.dead]
    for lock in dead:
        lock.path.unlink(missing_ok=True)
        lock.path.with_name(f"{lock.path.name}.attrs").unlink(missing_ok=True)
    return len(dead)


def _read(backend: str, stack: str) -> Iterator[Lock]:
    folder = folder_of(backend)
    if folder is None:
        return
    for path in sorted((folder / ".pulumi" / "locks" / "organization" / PROJECT / stack).glob("*.json")):
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            since = datetime.fromisoformat(told["timestamp"]).timestamp()
            yield Lock(path, int(told["pid"]), str(told["hostname"]), since)
        except (OSError, ValueError, KeyError, TypeError):
            # Gone meanwhile, or none that we know how to read: Pulumi itself tells of it.
            continue
