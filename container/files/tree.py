"""What lies in the workspace's folders: listed in pages, made, moved, deleted."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from container.errors import BadRequest, Conflict
from container.files import beneath
from container.files.names import PARTIAL, Parts, encoded, shown

MOST_NAMES: Final = 200_000
"""Of a folder that are looked at; of the others only is said that there are more."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries of a folder, folders first, by their names' bytes. `names`: of the entries; `cursor`: what asks for
    those behind, None at the end; `total`: how many there are, `more` of MOST_NAMES."""

    names: list[bytes]
    entries: list[dict[str, Any]]
    cursor: str | None
    total: int
    more: bool


def page(root: Path, parts: Parts, *, limit: int, cursor: str = "") -> Page:
    """The entries behind `cursor`, at most `limit`. Raises OSError, BadRequest."""
    after = _after(cursor)
    with beneath.folder(root, parts) as held, beneath.readable(held) as descriptor:
        known: list[tuple[bool, bytes]] = []
        more = False
        with os.scandir(descriptor) as found:
            for entry in found:
                name = os.fsencode(entry.name)
                if name.startswith(PARTIAL):
                    continue
                if len(known) == MOST_NAMES:
                    more = True
                    break
                known.append((not entry.is_dir(follow_symlinks=False), name))
        known.sort()
        behind = [key for key in known if key > after] if after else known
        taken = behind[:limit]
        entries = [told for _, name in taken if (told := _entry(held, parts, name))]
    names = [name for _, name in taken]
    last = f"{int(taken[-1][0])}{quote_from_bytes(taken[-1][1], safe='')}" if len(behind) > limit else None
    return Page(names, entries, last, len(known), more)


def _after(cursor: str) -> tuple[bool, bytes] | None:
    if not cursor:
        return None
    if cursor[0] not in "01":
        raise BadRequest("cursor is none that was given.", field="cursor")
    return cursor[0] == "1", unquote_to_bytes(cursor[1:])


def _entry(held: int, parts: Parts, name: bytes) -> dict[str, Any] | None:
    found = beneath.look(held, name)
    if found is None:
        return None  # gone meanwhile
    told: dict[str, Any] = {
        "name": shown(name),
        "path": encoded((*parts, name)),
        "type": beneath.kind_of(found.st_mode),
        "modified": round(found.st_mtime * 1000),
    }
    if stat.S_ISREG(found.st_mode):
        told["size"] = found.st_size
    if stat.S_ISLNK(found.st_mode):
        try:
            told["target"] = shown(os.readlink(name, dir_fd=held))
        except OSError:
            told["target"] = ""
    return told


def make_folder(root: Path, parts: Parts) -> None:
    """Make a folder, and those before it that are missing. Raises FileExistsError, OSError."""
    with beneath.folder(root, parts[:-1], make=True) as held:
        os.mkdir(parts[-1], dir_fd=held)


def move(root: Path, parts: Parts, to: Parts) -> None:
    """Rename within the workspace, onto nothing that is there. Raises OSError."""
    with (
        beneath.folder(root, parts[:-1]) as source,
        beneath.folder(root, to[:-1]) as target,
    ):
        beneath.move(source, parts[-1], target, to[-1])


def delete(root: Path, parts: Parts, *, recursive: bool) -> None:
    """Delete a file, a link as itself, or a folder; one that holds something only if `recursive`. Raises Conflict,
    OSError, RecursionError."""
    with beneath.folder(root, parts[:-1]) as held:
        found = os.stat(parts[-1], dir_fd=held, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(parts[-1], dir_fd=held)
        elif recursive:
            shutil.rmtree(os.fsdecode(parts[-1]), dir_fd=held)  # by descriptors too, and through no link
        else:
            try:
                os.rmdir(parts[-1], dir_fd=held)
            except OSError as error:
                raise Conflict("The folder is not empty: ask with recursive=1.", field="path") from error
