"""Uploads that go on where they were cut: a partial file beside the one that is to be, known by an id and its length.

Nothing else is remembered of them, so that they outlive agent server, gateway and browser.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from container.errors import BadRequest, Conflict, NotFound
from container.files import beneath
from container.files.content import CHUNK_BYTES, Condition, replace
from container.files.names import PARTIAL, Parts

ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)

ABANDONED_SECONDS: Final = 24 * 3600.0
"""A partial file that nobody has written to for so long is deleted when another upload comes to its folder."""

_APPEND: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def begin(root: Path, parts: Parts) -> str:
    """Begin an upload to a file: its id. Raises OSError."""
    upload = secrets.token_hex(16)
    with beneath.folder(root, parts[:-1], make=True) as held:
        _sweep(held)
        os.close(beneath.new_file(held, PARTIAL + upload.encode()))
    return upload


def size_of(root: Path, parts: Parts, upload: str) -> int:
    """How many bytes have come. Raises NotFound, OSError."""
    with beneath.folder(root, parts[:-1]) as held, _partial(held, upload) as descriptor:
        return os.fstat(descriptor).st_size


def open_at(root: Path, parts: Parts, upload: str, offset: int) -> int:
    """A descriptor of the partial file, nobody else's until it is closed. Raises Conflict where it has not `offset`
    bytes, or somebody writes to it; NotFound, OSError."""
    with beneath.folder(root, parts[:-1]) as held, _partial(held, upload) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("Another request writes to this upload.") from None
        size = os.fstat(descriptor).st_size
        if size != offset:
            raise Conflict(f"The upload has {size} bytes: go on from there.", field="offset")
        return os.dup(descriptor)  # and the lock with it


def finish(
    root: Path, parts: Parts, upload: str, condition: Condition, *, size: int, sha256: str
) -> tuple[bool, str]:
    """Give the partial file its name, when it has `size` bytes and the sum (hexadecimal; empty: whatever it is):
    (whether the file is new, its ETag). Raises Conflict, BadRequest, Changed, NotFound, OSError."""
    with beneath.folder(root, parts[:-1]) as held, _partial(held, upload) as descriptor:
        has = os.fstat(descriptor).st_size
        if has != size:
            raise Conflict(f"The upload has {has} bytes and not {size}.", field="size")
        if sha256 and _sum(descriptor) != sha256:
            raise BadRequest("What has come has another SHA-256.", field="sha256")
        return replace(held, PARTIAL + upload.encode(), descriptor, parts[-1], condition)


def cancel(root: Path, parts: Parts, upload: str) -> None:
    """Delete the partial file; one that is gone is fine. Raises OSError."""
    with beneath.folder(root, parts[:-1]) as held, contextlib.suppress(FileNotFoundError):
        os.unlink(PARTIAL + _checked(upload).encode(), dir_fd=held)


@contextlib.contextmanager
def _partial(held: int, upload: str) -> Iterator[int]:
    name = PARTIAL + _checked(upload).encode()
    try:
        beneath.check_regular(os.stat(name, dir_fd=held, follow_symlinks=False))
        descriptor = os.open(name, _APPEND, dir_fd=held)
    except FileNotFoundError:
        raise NotFound("There is no such upload.", field="upload") from None
    try:
        beneath.check_regular(os.fstat(descriptor))
        yield descriptor
    finally:
        os.close(descriptor)


def _checked(upload: str) -> str:
    if not ID.fullmatch(upload):
        raise BadRequest("upload must be the id that was given.", field="upload")
    return upload


def _sum(descriptor: int) -> str:
    whole, at = hashlib.sha256(), 0
    while chunk := os.pread(descriptor, CHUNK_BYTES, at):
        whole.update(chunk)
        at += len(chunk)
    return whole.hexdigest()


def _sweep(held: int) -> None:
    with beneath.readable(held) as descriptor, os.scandir(descriptor) as found:
        old = [os.fsencode(entry.name) for entry in found if os.fsencode(entry.name).startswith(PARTIAL)]
    for name in old:
        status = beneath.look(held, name)
        if status is not None and time.time() - status.st_mtime > ABANDONED_SECONDS:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=held)
