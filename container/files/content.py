"""Contents of the workspace's files: their versions (ETags), and new ones that replace old ones whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from container.errors import BadRequest, Changed
from container.files import beneath
from container.files.names import PARTIAL, Parts

HASHED_BYTES: Final = 8 * 1024 * 1024
"""Files up to this size are known by what is in them; larger ones by what the system says of them."""

CHUNK_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold of the file that is there. `versions`: it is one of these ETags; None: whatever it is. `absent`:
    there is none. `any`: there is one."""

    versions: frozenset[str] | None = None
    absent: bool = False
    any: bool = False

    @classmethod
    def of(cls, if_match: str, if_none_match: str) -> Condition:
        """Of a request's headers (RFC 9110 section 13.1); empty where they are absent. Raises BadRequest."""
        if if_none_match not in ("", "*"):
            raise BadRequest("If-None-Match may be * here.", field="If-None-Match")
        if if_match == "*":
            return cls(any=True, absent=bool(if_none_match))
        versions = frozenset(part.strip().strip('"') for part in if_match.split(",")) if if_match else None
        return cls(versions=versions, absent=bool(if_none_match))

    def check(self, current: str | None) -> None:
        """`current`: the version that is there, None when there is none. Raises Changed."""
        if self.absent and current is not None:
            raise Changed("There is a file of that name already.", etag=current)
        if (self.any or self.versions is not None) and current is None:
            raise Changed("The file is gone.", etag=None)
        if self.versions is not None and current not in self.versions:
            raise Changed("The file has changed meanwhile.", etag=current)


def version_of(descriptor: int) -> str:
    """The ETag of an open file, without its quotes."""
    found = os.fstat(descriptor)
    if found.st_size > HASHED_BYTES:
        return f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ctime_ns:x}"
    return version_of_bytes(os.pread(descriptor, HASHED_BYTES, 0))


def version_of_bytes(content: bytes) -> str:
    """The ETag of what is in a file of at most HASHED_BYTES."""
    return hashlib.sha256(content).hexdigest()[:32]


def write(root: Path, parts: Parts, content: bytes, condition: Condition) -> tuple[bool, str]:
    """Write a file whole or not at all, its folders made as needed: (whether it is new, its ETag). Raises Changed,
    BadRequest, OSError."""
    with beneath.folder(root, parts[:-1], make=True) as held:
        draft = PARTIAL + secrets.token_hex(16).encode()
        descriptor = beneath.new_file(held, draft)
        try:
            _write_all(descriptor, content)
            return replace(held, draft, descriptor, parts[-1], condition)
        finally:
            os.close(descriptor)
            with contextlib.suppress(OSError):  # it has its name
                os.unlink(draft, dir_fd=held)


def replace(held: int, draft: bytes, descriptor: int, name: bytes, condition: Condition) -> tuple[bool, str]:
    """Give a finished draft, open as `descriptor`, its name: (whether it is new, its ETag). A file that was there keeps
    its mode. Raises Changed, BadRequest, OSError."""
    found = beneath.look(held, name)
    if found is None:
        condition.check(None)
        try:
            beneath.move(held, draft, held, name)
        except FileExistsError:  # made just now
            if condition.absent:
                raise Changed("There is a file of that name already.", etag=None) from None
            return replace(held, draft, descriptor, name, condition)
        return True, version_of(descriptor)
    beneath.check_regular(found)
    old = beneath.open_file(held, name)
    try:
        condition.check(version_of(old))
        os.fchmod(descriptor, stat.S_IMODE(os.fstat(old).st_mode) & 0o777)
        os.replace(draft, name, src_dir_fd=held, dst_dir_fd=held)
    finally:
        os.close(old)
    return False, version_of(descriptor)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
