"""A small disk of its own for the sandboxes, which can be filled to the last byte."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

SIZE_MB = 256
CHUNK = b"\0" * 65536


class SmallDisk:
    """A tmpfs at `root`, where this user may mount one; `mounted` tells. Ballast is one file in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mounted = False

    async def mount(self) -> None:
        """Mount it, if that is possible here."""
        options = f"size={SIZE_MB}m,mode=700"
        self.mounted = await _succeeds("mount", "-t", "tmpfs", "-o", options, "vf-chaos", str(self.root))

    async def unmount(self) -> None:
        """Give it back with all that is in it."""
        if self.mounted:
            self.mounted = not await _succeeds("umount", "-l", str(self.root))

    def fill(self) -> None:
        """Write until nothing fits any more."""
        descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            chunk = CHUNK
            while chunk:
                try:
                    os.write(descriptor, chunk)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    chunk = chunk[: len(chunk) // 2]
        finally:
            os.close(descriptor)

    def free(self) -> None:
        """Take the ballast away."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.root / ".ballast"


async def _succeeds(*argv: str) -> bool:
    try:
        process = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.PIPE)
    except OSError as error:
        log.info("%s cannot be run: %s", argv[0], error)
        return False
    _, problem = await process.communicate()
    if process.returncode:
        log.info("%s: %s", " ".join(argv), problem.decode(errors="replace").strip())
    return process.returncode == 0
