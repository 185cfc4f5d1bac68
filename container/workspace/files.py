"""Files of the workspace: read and written by path, never outside of it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Final

from container.errors import AgentServerError, BadRequest, InsufficientStorage, NotFound, PayloadTooLarge
from container.uids import SAME, AgentUser

MAX_FILE_BYTES: Final = 32 * 1024 * 1024
"""Largest file that is read or written through the agent server."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def resolve(workspace: Path, path: str) -> Path:
    """The real path of `path` in `workspace` (which is a real path). Raises BadRequest when it leads out of it."""
    if not path or "\0" in path:
        raise BadRequest("path must name a file.", field="path")
    try:
        real = (workspace / path).resolve()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            real.lstat()
    except (OSError, RuntimeError, ValueError):  # a name too long, a loop of links, half a surrogate pair
        raise BadRequest("path cannot be resolved.", field="path") from None
    if real == workspace or not real.is_relative_to(workspace):
        raise BadRequest("path must be inside the workspace.", field="path")
    return real


def read(path: Path) -> bytes:
    """The content of a regular file. Raises NotFound, BadRequest when it is none, PayloadTooLarge."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NotFound(f"No such file: {error.strerror}.", field="path") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise BadRequest("path must name a regular file.", field="path")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > MAX_FILE_BYTES:
            raise PayloadTooLarge(f"The file is larger than {MAX_FILE_BYTES:,} bytes.", field="path")
        return file.read(MAX_FILE_BYTES)


async def write(path: Path, chunks: AsyncIterable[bytes], user: AgentUser = SAME) -> bool:
    """Write a file whole or not at all, its folders made as needed; whether it is new.

    Raises BadRequest when something else is in the way, PayloadTooLarge, InsufficientStorage.
    """
    draft = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with user.acting():
            if path.is_dir():
                raise BadRequest("path names a directory.", field="path")
            path.parent.mkdir(parents=True, exist_ok=True)
            file = draft.open("xb")
        size = 0
        with file:
            async for chunk in chunks:
                size += len(chunk)
                if size > MAX_FILE_BYTES:
                    raise PayloadTooLarge(f"A file may have {MAX_FILE_BYTES:,} bytes.", field="body")
                file.write(chunk)
        with user.acting():
            is_new = not path.exists()
            draft.replace(path)
    except ConnectionError:
        raise
    except OSError as error:
        raise _refusal(error) from error
    finally:
        with contextlib.suppress(OSError), user.acting():  # it was never made, or has its name
            draft.unlink()
    return is_new


def _refusal(error: OSError) -> AgentServerError:
    text = f"The file cannot be written: {error.strerror}."
    return InsufficientStorage(text) if error.errno in _FULL else BadRequest(text, field="path")
