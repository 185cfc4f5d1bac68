"""Takes frame logs over, once, from where an agent server of one uid with its agent kept them: in the agent's home."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import stat
from pathlib import Path
from typing import Final

from container.uids import AgentUser

log = logging.getLogger(__name__)

MOST_LOGS: Final = 64
"""An agent server keeps eight ended runs, and those that no recorder has; more is what an agent has laid beside."""

MOST_BYTES: Final = 1024**3
"""Of all of them: four runs as long as one may be."""

CHUNK_BYTES: Final = 256 * 1024


def take_over(old: Path, new: Path, user: AgentUser) -> None:
    """Copy the newest logs in `old` to `new`, which is theirs whole or not at all, and remove `old`.

    Nothing is done once there is `new`: what comes to lie in `old` later is the agent's making. Raises OSError.
    """
    if new.exists():
        return
    draft = new.with_name(f"{new.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700, parents=True)
    with user.acting():
        found = _logs(old)
    for path in found:
        _copy(path, draft / path.name, user)
    draft.rename(new)
    with user.acting():
        shutil.rmtree(old, ignore_errors=True)
    if found:
        log.info("%d frame logs were taken over from %s", len(found), old)


def _logs(folder: Path) -> list[Path]:
    """The newest, the oldest of them first; of what is no regular file, none."""
    if not folder.is_dir() or folder.is_symlink():
        return []
    found = [(path.lstat(), path) for path in folder.glob("*.jsonl")]
    regular = [(status, path) for status, path in found if stat.S_ISREG(status.st_mode)]
    regular.sort(key=lambda log: log[0].st_mtime_ns)
    taken, left = list[Path](), MOST_BYTES
    for status, path in reversed(regular[-MOST_LOGS:]):
        left -= status.st_size
        if left < 0:
            break
        taken.insert(0, path)
    return taken


def _copy(path: Path, copy: Path, user: AgentUser) -> None:
    """With its times, by which the runs are ordered. One that cannot be read is left behind."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        with user.acting():
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as source, copy.open("xb") as file:
            status = os.fstat(descriptor)
            left = status.st_size
            while left > 0 and (block := source.read(min(left, CHUNK_BYTES))):
                file.write(block)
                left -= len(block)
            file.flush()
            os.utime(file.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
