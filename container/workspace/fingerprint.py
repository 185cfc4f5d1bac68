"""What a snapshot would hold, as one short name: of the same name is what nobody has changed."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path


def fingerprint(roots: Mapping[str, Path], skip: Collection[str], *, seconds: float) -> str:
    """32 hexadecimal digits of all paths under `roots` but those in `skip` (`name/path`): of files the size and both
    times, of which the change's no program sets as it likes (inode(7)); of links where they point. Empty when that
    takes longer than `seconds`. It blocks."""
    digest, end = hashlib.sha256(), time.monotonic() + seconds
    for name, root in roots.items():
        for path, entry in _walk(name, root, skip):
            if time.monotonic() > end:
                return ""
            try:
                told = _told(entry)
            except OSError as error:  # it went meanwhile
                told = repr(error.errno)
            digest.update(f"{path}\0{told}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:32]


def _walk(name: str, root: Path, skip: Collection[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    folders = [(name, root)]
    while folders:
        prefix, folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in found:
            path = f"{prefix}/{entry.name}"
            if path in skip:
                continue
            yield path, entry
            if entry.is_dir(follow_symlinks=False):
                folders.append((path, Path(entry.path)))


def _told(entry: os.DirEntry[str]) -> str:
    status = entry.stat(follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(entry.path)  # noqa: PTH115 - the text itself
    if stat.S_ISDIR(status.st_mode):  # what is in it is told by itself
        return f"{status.st_mode:o}"
    return f"{status.st_mode:o} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
