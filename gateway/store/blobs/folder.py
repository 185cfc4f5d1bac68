"""Blobs as files of one folder, on a volume that every gateway has mounted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, Final, TypeVar

from container.protocol import RUN_ID
from gateway.store.blobs import BlobNotFound, BlobsUnavailable, checked, grouped
from gateway.store.blobs.room import Room

R = TypeVar("R")

CHUNK_BYTES: Final = 1024 * 1024
"""Of one read or write, each in a thread."""

STALE_SECONDS: Final = 24 * 3600.0
"""A draft as old as this is nobody's any more."""


class FolderBlobs:
    """`<root>/<stack>/<name>`; a blob is written beside its place as `.<name>.<random>.part`, then renamed over it."""

    def __init__(self, root: str, stack: str, *, reserve: float = 0.0, most: int = 0) -> None:
        """`reserve`, `most`: see `Room`."""
        self._folder = Path(root) / checked(stack)
        self._room = Room(self._folder, reserve=reserve, most=most)

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        """See `Blobs`: on the disk (fsync) before it is seen. `BlobsUnavailable` also where there is no room for it."""
        path = self._folder / checked(name)
        draft = self._folder / f".{name}.{secrets.token_hex(8)}.part"
        await _blocking(self._clean, name, time.time() - STALE_SECONDS)
        size = 0
        left = await _blocking(self._room.left, name)
        await _blocking(self._room.check, 0, left)
        try:
            descriptor = await _blocking(os.open, draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                async for chunk in grouped(chunks, CHUNK_BYTES):
                    size += len(chunk)
                    await _blocking(self._room.check, size, left)
                    await _blocking(_write, file, chunk)
                await _blocking(os.fsync, descriptor)
            await _blocking(_publish, draft, path)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        return size

    @contextlib.asynccontextmanager
    async def open(self, name: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """See `Blobs`: an open file stays what it was, replaced or deleted."""
        path = self._folder / checked(name)
        try:
            file: FileIO = await _blocking(FileIO, path)
        except FileNotFoundError:
            raise BlobNotFound(f"There is no snapshot of session {name}.") from None

        async def chunks() -> AsyncIterator[bytes]:
            while chunk := await _blocking(file.read, CHUNK_BYTES):
                yield chunk

        try:
            yield chunks()
        finally:
            file.close()

    async def delete(self, name: str) -> None:
        """See `Blobs`."""
        path = self._folder / checked(name)
        await _blocking(path.unlink, missing_ok=True)
        await _blocking(self._clean, name, time.time())

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        """See `Blobs`."""
        return await _blocking(self._names, after, limit)

    async def close(self) -> None:
        """See `Blobs`: nothing stays open."""

    # The methods below block.

    def _names(self, after: str, limit: int) -> Sequence[str]:
        try:
            names = sorted(path.name for path in self._folder.iterdir())
        except FileNotFoundError:
            return []
        return [name for name in names if name > after and RUN_ID.fullmatch(name)][:limit]

    def _clean(self, name: str, before: float) -> None:
        """Delete the drafts of `name` that are older than `before` (epoch seconds); have the folder."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for draft in self._folder.glob(f".{name}.*.part"):
            with contextlib.suppress(FileNotFoundError):
                if draft.stat().st_mtime <= before:
                    draft.unlink()


async def _blocking(work: Callable[..., R], *args: Any, **named: Any) -> R:
    """Run blocking work in a thread. Raises FileNotFoundError, and `BlobsUnavailable` for all else the disk refuses."""
    try:
        return await asyncio.to_thread(work, *args, **named)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BlobsUnavailable(f"The folder for snapshots cannot be used: {error.strerror}.") from error


def _write(file: Any, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]


def _publish(draft: Path, path: Path) -> None:
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
