"""The workspace's folders and files by descriptors: each name is opened in the folder before it, no link is followed.

So a path cannot leave the workspace, whatever is put in its way between two steps; what may be read and written is the
kernel's to say, for all of it is done with the agent's rights (`AgentUser.acting`).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from container.errors import AgentServerError, BadRequest, Conflict, InsufficientStorage, NotFound
from container.files.names import Parts

_STEP: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_RENAME_NOREPLACE: Final = 1
"""Of renameat2(2), linux/fs.h."""

_LIBC: Final = ctypes.CDLL(None, use_errno=True)

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ASIDE: Final = frozenset({errno.ENOTDIR, errno.ELOOP})


@contextlib.contextmanager
def folder(root: Path, parts: Parts, *, make: bool = False) -> Iterator[int]:
    """A descriptor of the folder `parts` below `root`, for `*at` calls; `make`: with folders that are missing."""
    held = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            try:
                inner = os.open(part, _STEP, dir_fd=held)
            except FileNotFoundError:
                if not make:
                    raise
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=held)
                inner = os.open(part, _STEP, dir_fd=held)
            os.close(held)
            held = inner
        yield held
    finally:
        os.close(held)


@contextlib.contextmanager
def readable(held: int) -> Iterator[int]:
    """A descriptor by which a folder's names can be read."""
    descriptor = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=held)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def look(held: int, name: bytes) -> os.stat_result | None:
    """What `name` is in a folder, a link being itself; None when there is nothing."""
    try:
        return os.stat(name, dir_fd=held, follow_symlinks=False)
    except FileNotFoundError:
        return None


def open_file(held: int, name: bytes) -> int:
    """A descriptor of a regular file, for reading. Raises NotFound, and BadRequest for everything else: pipes, sockets,
    devices and links are looked at before they are opened."""
    found = look(held, name)
    if found is None:
        raise NotFound("There is no such file.", field="path")
    check_regular(found)
    descriptor = os.open(name, _READ, dir_fd=held)
    try:
        check_regular(os.fstat(descriptor))  # it may be another one by now
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_regular(found: os.stat_result) -> None:
    """Raises BadRequest for what is no regular file."""
    if not stat.S_ISREG(found.st_mode):
        raise BadRequest(f"path names a {kind_of(found.st_mode)}, and no file.", field="path")


def kind_of(mode: int) -> str:
    """`file`, `folder`, `link` or `special`."""
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "special"


def new_file(held: int, name: bytes, mode: int = 0o666) -> int:
    """A descriptor of a file that was not there before, for reading and writing."""
    return os.open(name, _NEW, mode, dir_fd=held)


def move(source: int, name: bytes, target: int, new_name: bytes) -> None:
    """Rename, onto nothing: FileExistsError when something is there already."""
    result = _LIBC.renameat2(source, name, target, new_name, _RENAME_NOREPLACE)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Errors of the system as those of the agent server."""
    try:
        yield
    except RecursionError:
        raise BadRequest("The folders are nested too deeply.", field="path") from None
    except (ConnectionError, TimeoutError):
        raise
    except OSError as error:
        raise _refusal(error) from error


def _refusal(error: OSError) -> AgentServerError:
    said = f"{error.strerror or error}."
    if error.errno in _FULL:
        return InsufficientStorage(f"The file cannot be written: {said}")
    if error.errno == errno.ENOENT:
        return NotFound("There is nothing of that name.", field="path")
    if error.errno in _ASIDE:
        return BadRequest("path leads through a link or a file, and not through folders.", field="path")
    if error.errno == errno.EEXIST:
        return Conflict("There is something of that name already.", field="path")
    if error.errno == errno.ENOTEMPTY:
        return Conflict("The folder is not empty.", field="path")
    return BadRequest(f"The sandbox's system refuses it: {said}", field="path")
