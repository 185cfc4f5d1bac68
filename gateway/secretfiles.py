"""Secrets from files: `VF_JWT_SECRET_FILE` names the file that holds VF_JWT_SECRET, and so for every secret.

An environment is seen by whoever may inspect a container or read `/proc/PID/environ`, and is handed on to every child;
a file that only this user may read is not. The variable itself is taken too, for development and for platforms that
deliver secrets that way.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

SUFFIX: Final = "_FILE"
"""What a variable is called that names the file of another one's value."""

MAX_BYTES: Final = 64 * 1024
"""Longest secret that is read: the file may be any device."""

TOO_OPEN: Final = 0o027
"""Permissions that a regular file must not give: to others none, and to its group at most that to read it."""


class SecretFileError(Exception):
    """A file cannot be had, or the variable is set beside it; the message names both."""


def with_files(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """`environ` with the values of those of `names` whose `…_FILE` is set, white space around them taken away.

    Raises `SecretFileError` where both are set, and for a file that cannot be read, that others may read or write, or
    that is empty, too long or no text."""
    told = dict(environ)
    for name in names:
        path = environ.get(name + SUFFIX, "").strip()
        if not path:
            continue
        if environ.get(name, "").strip():
            raise SecretFileError(f"{name} and {name}{SUFFIX} are both set; set one of them")
        told[name] = _read(name + SUFFIX, path)
    return told


def _read(variable: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_BYTES + 1)
        text = content.decode().strip()
    except OSError as error:
        raise SecretFileError(f"{variable} names {path}, which cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretFileError(f"{variable} names {path}, which is no UTF-8 text") from None
    if stat.S_ISREG(mode) and mode & TOO_OPEN:
        raise SecretFileError(
            f"{variable} names {path}, which others may read or change (mode {stat.S_IMODE(mode):04o}): chmod 0400 it, "
            "or 0440 where its group is the gateway's"
        )
    if len(content) > MAX_BYTES:
        raise SecretFileError(f"{variable} names {path}, which is longer than {MAX_BYTES} bytes")
    if not text:
        raise SecretFileError(f"{variable} names {path}, which is empty")
    return text
