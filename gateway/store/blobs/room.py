"""Whether a folder of blobs may grow: by what is free on its disk, and by what the stack may keep in it. It blocks."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from gateway.store.blobs import BlobsUnavailable

if TYPE_CHECKING:
    from pathlib import Path

MB: Final = 1024 * 1024


class Room:
    """`reserve`: the share of the disk, 0 to 1, that stays free; `most`: bytes of all blobs together. 0: no limit."""

    def __init__(self, folder: Path, *, reserve: float = 0.0, most: int = 0) -> None:
        self._folder = folder
        self._reserve = reserve
        self._most = most

    def left(self, name: str) -> int | None:
        """How many bytes a blob of this name may have beside the others, drafts included; None: any number."""
        if not self._most:
            return None
        taken = 0
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name != name:
                    with contextlib.suppress(FileNotFoundError):
                        taken += entry.stat(follow_symlinks=False).st_size
        return max(0, self._most - taken)

    def check(self, size: int, left: int | None) -> None:
        """Before a blob has `size` bytes. Raises `BlobsUnavailable`."""
        if left is not None and size > left:
            raise BlobsUnavailable(
                f"The snapshots of all sessions may take {self._most // MB} MB together, and would take more."
            )
        if self._reserve:
            found = os.statvfs(self._folder)
            if found.f_bavail < (found.f_blocks - found.f_bfree + found.f_bavail) * self._reserve:
                raise BlobsUnavailable(
                    "The disk that snapshots are kept on is nearly full: none is kept until there is room again."
                )
