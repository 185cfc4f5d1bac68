"""What a folder takes of its file system, counted as the file system does: blocks and inodes. Stdlib only."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BLOCK: Final = 512
"""Bytes of a unit of `st_blocks` (stat(2)), whatever the file system's own blocks are."""

SLICE: Final = 500
"""Entries that are looked at between two pauses of a count."""

DEPTH: Final = 1000
"""Folders within each other that are looked into: two open files each. No project is half as deep, and what is below
could not be counted: it counts as too much."""

NAMES: Final = 20_000_000
"""Names that are counted where there is no other limit: some minutes. What is beyond counts as too much."""

_OUT_OF_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Usage:
    """`size`: bytes of blocks, so that a hole counts for nothing. `inodes`: files, folders and all else that has a name
    there, by its names: a file may have 65,000, and each takes its time to count. `whole`: whether all was counted;
    else it is more. `endless`: it is more than can be counted (`DEPTH`, `NAMES`), and so not whole."""

    size: int = 0
    inodes: int = 0
    whole: bool = True
    endless: bool = False


class Count:
    """A count under way of several folders together; `slices` does it bit by bit.

    Whoever wrote these folders may change them meanwhile and names nothing that is followed: no link, no other file
    system, no file is opened. The blocks of a file with several names count in parts, together once.
    """

    def __init__(self, folders: Sequence[str], *, most_size: int = 0, most_inodes: int = 0) -> None:
        """`most_…`: the count ends where there are more; 0: never."""
        self._folders = folders
        self._most_size = most_size
        self._most_inodes = most_inodes
        self._size = 0.0
        self._inodes = 0
        self._whole = True
        self._endless = False

    @property
    def usage(self) -> Usage:
        """What was counted so far."""
        return Usage(round(self._size), self._inodes, self._whole, self._endless)

    def slices(self) -> Iterator[None]:
        """Count; pauses now and then. A folder that is not there is empty."""
        for folder in self._folders:
            if self._whole:
                yield from self._tree(folder)

    def _tree(self, folder: str) -> Iterator[None]:
        open_folders: list[tuple[int, os.ScandirIterator[str]]] = []  # type: ignore[name-defined]
        seen = 0
        try:
            if not self._enter(open_folders, folder, None):
                return
            device = os.fstat(open_folders[0][0]).st_dev
            while open_folders and self._whole:
                descriptor, entries = open_folders[-1]
                entry = _next(entries)
                if entry is None:
                    entries.close()
                    os.close(descriptor)
                    open_folders.pop()
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:  # gone meanwhile
                    continue
                self._add(status)
                if stat.S_ISDIR(status.st_mode) and status.st_dev == device:
                    if len(open_folders) >= DEPTH:
                        self._give_up()
                    else:
                        self._enter(open_folders, entry.name, descriptor)
                seen += 1
                if seen % SLICE == 0:
                    yield
        finally:
            for descriptor, entries in open_folders:
                entries.close()
                os.close(descriptor)

    def _enter(
        self,
        open_folders: list[tuple[int, os.ScandirIterator[str]]],  # type: ignore[name-defined]
        name: str,
        beside: int | None,
    ) -> bool:
        try:
            descriptor = os.open(name, _FOLDER, dir_fd=beside)
        except OSError as error:
            if error.errno in _OUT_OF_FILES:
                self._give_up()
            return False  # gone meanwhile, or no folder any more
        try:
            entries = os.scandir(descriptor)
        except OSError:
            os.close(descriptor)
            self._give_up()
            return False
        open_folders.append((descriptor, entries))
        return True

    def _give_up(self) -> None:
        self._whole, self._endless = False, True

    def _add(self, status: os.stat_result) -> None:
        # A folder's links are its subfolders.
        names = 1 if stat.S_ISDIR(status.st_mode) else max(1, status.st_nlink)
        self._size += status.st_blocks * BLOCK / names
        self._inodes += 1
        if self._inodes >= NAMES:
            self._give_up()
        if (self._most_size and self._size > self._most_size) or (
            self._most_inodes and self._inodes > self._most_inodes
        ):
            self._whole = False


def _next(entries: Iterator[os.DirEntry[str]]) -> os.DirEntry[str] | None:
    try:
        return next(entries, None)
    except OSError:  # the folder is damaged, or gone
        return None


def measure(folders: Sequence[str], *, most_size: int = 0, most_inodes: int = 0) -> Usage:
    """The usage of these folders, at once."""
    count = Count(folders, most_size=most_size, most_inodes=most_inodes)
    for _ in count.slices():
        pass
    return count.usage
