"""Blobs whose sizes the store is told, so that what users keep is known without asking the blobs' place."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from gateway.errors import StoreUnavailable

if TYPE_CHECKING:
    from gateway.store import Store
    from gateway.store.blobs import Blobs

log = logging.getLogger(__name__)


class MeasuredBlobs:
    """A `Blobs` around another; a blob's name is its session's id."""

    def __init__(self, blobs: Blobs, store: Store) -> None:
        self._blobs = blobs
        self._store = store

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        """See `Blobs`. A store that is away costs the size and not the blob; the next one is told again."""
        size = await self._blobs.put(name, chunks)
        try:
            await self._store.set_stored(name, size)
        except StoreUnavailable as error:
            log.warning("session %s: its snapshot's size is not counted: %s", name, error)
        return size

    def open(self, name: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """See `Blobs`."""
        return self._blobs.open(name)

    async def delete(self, name: str) -> None:
        """See `Blobs`. Its session is deleted too, and its size with it."""
        await self._blobs.delete(name)

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        """See `Blobs`."""
        return await self._blobs.list(after=after, limit=limit)

    async def close(self) -> None:
        """See `Blobs`."""
        await self._blobs.close()
