"""One process at a time in a folder: a locked file that names it, which the kernel unlocks when the process ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from gateway.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_FILE = ".lock"


@contextlib.contextmanager
def alone_in(folder: Path, remedy: str) -> Iterator[None]:
    """Nobody else is in `folder`, which is made where it lacks, until the block is left or this process ends, however
    it ends. Raises `ConfigError`, with the other's pid and the remedy, when somebody is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Not inherited: what this process starts and leaves behind holds nothing.
    with os.fdopen(os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = file.read().strip() or "that starts just now"
            raise ConfigError(f"process {pid} uses {folder} already; {remedy}") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
