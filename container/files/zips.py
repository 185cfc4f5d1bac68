"""A folder of the workspace as a zip archive, made as it is read: no file of it, and no whole one in memory.

Python's own `zipfile` writes to what cannot be sought in, with sizes behind the contents (APPNOTE.TXT, section 4.3.9).
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from container.errors import BadRequest, PayloadTooLarge
from container.files import beneath
from container.files.content import CHUNK_BYTES
from container.files.names import PARTIAL, Parts, shown

MOST_ENTRIES: Final = 100_000
MOST_LEVELS: Final = 200
LEVEL: Final = 1
"""Of deflate: a sandbox's processor is the agent's too."""

EARLIEST, LATEST = 315619200.0, 4354732800.0
"""Times that a zip can hold, in any zone: 2 January 1980 to 30 December 2107, in epoch seconds."""

LEFT_OUT: Final = "left-out-of-this-archive.txt"

_ODD: Final = re.compile(r'[\\:*?"<>|\x00-\x1f\x7f\ufffd]')
"""What a name on some system means more by than a character; a backslash parts folders on Windows."""


class _Sink:
    """Takes what `zipfile` writes, and gives it away."""

    def __init__(self) -> None:
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """It has no end of its own."""

    def take(self) -> bytes:
        taken = bytes(self._held)
        self._held.clear()
        return taken


def measure(root: Path, parts: Parts, *, limit: int) -> None:
    """Raises PayloadTooLarge where there is more than `limit` bytes or MOST_ENTRIES; BadRequest, OSError."""
    with beneath.folder(root, parts):
        pass
    size = 0
    for entries, (_, _, found) in enumerate(_walk(root, parts, []), 1):
        if stat.S_ISREG(found.st_mode):
            size += found.st_size
        if entries > MOST_ENTRIES or size > limit:
            what = (
                f"more than {MOST_ENTRIES:,} entries"
                if entries > MOST_ENTRIES
                else f"more than {limit:,} bytes"
            )
            raise PayloadTooLarge(f"The folder has {what}: download a part of it.", field="path")


def chunks(root: Path, parts: Parts, *, limit: int) -> Iterator[bytes]:
    """The archive, in pieces of some 256 KiB; to be drawn with the agent's rights. What grows past `limit` bytes
    meanwhile breaks off (BadRequest)."""
    sink = _Sink()
    left: list[str] = []
    size = 0
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        for inner, name, found in _walk(root, parts, left):
            below = (*inner[len(parts) :], name)
            changed = min(max(found.st_mtime, EARLIEST), LATEST)
            info = zipfile.ZipInfo("/".join(map(safe, below)), time.localtime(changed)[:6])
            info.external_attr = (found.st_mode & 0xFFFF) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            if stat.S_ISDIR(found.st_mode):
                info.filename += "/"
                info.compress_type = zipfile.ZIP_STORED
                archive.writestr(info, b"")
                continue
            if not stat.S_ISREG(found.st_mode):
                left.append(f"{shown(b'/'.join(below))}: a {beneath.kind_of(found.st_mode)}")
                continue
            try:
                with beneath.folder(root, inner) as held:
                    descriptor = beneath.open_file(held, name)
            except (OSError, BadRequest) as error:
                left.append(f"{shown(b'/'.join(below))}: {error}")
                continue
            with os.fdopen(descriptor, "rb") as source, archive.open(info, "w", force_zip64=True) as target:
                while chunk := source.read(CHUNK_BYTES):
                    size += len(chunk)
                    if size > limit:
                        raise BadRequest("The folder grew while it was read.", field="path")
                    target.write(chunk)
                    if len(piece := sink.take()) > 0:
                        yield piece
        if left:
            archive.writestr(LEFT_OUT, "\n".join(left) + "\n")
    yield sink.take()


def safe(name: bytes) -> str:
    """A name that leads nowhere else wherever it is unpacked; one that had to be changed is told apart by its bytes'
    hash."""
    text = shown(name)
    changed = _ODD.sub("_", text)
    return text if changed == text else f"{changed}~{hashlib.sha256(name).hexdigest()[:8]}"


def _walk(root: Path, parts: Parts, left: list[str]) -> Iterator[tuple[Parts, bytes, os.stat_result]]:
    """Everything below a folder: where it is, its name, what it is. No descriptor stays open between two steps."""
    waiting = [parts]
    while waiting:
        inner = waiting.pop()
        try:
            with beneath.folder(root, inner) as held, beneath.readable(held) as descriptor:
                with os.scandir(descriptor) as found:
                    names = sorted(os.fsencode(entry.name) for entry in found)
                known = [(name, beneath.look(held, name)) for name in names]
        except OSError as error:
            left.append(f"{shown(b'/'.join(inner))}: {error.strerror}")
            continue
        for name, status in known:
            if status is None or name.startswith(PARTIAL):
                continue
            yield inner, name, status
            if stat.S_ISDIR(status.st_mode):
                if len(inner) < MOST_LEVELS:
                    waiting.append((*inner, name))
                else:
                    left.append(f"{shown(b'/'.join((*inner, name)))}: too deep")
