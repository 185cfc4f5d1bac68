"""Blobs whose sizes the store is told, so that what users keep is known without asking the blobs' place."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from gateway.errors import SessionNotFound, StoreUnavailable
from gateway.quotas.rules import MB
from gateway.store.blobs import BlobsUnavailable

if TYPE_CHECKING:
    from gateway.store import Store
    from gateway.store.blobs import Blobs

log = logging.getLogger(__name__)


class MeasuredBlobs:
    """A `Blobs` around another; a blob's name is its session's id."""

    def __init__(self, blobs: Blobs, store: Store, *, most_of_user: int = 0) -> None:
        """`most_of_user`: bytes of a user's blobs, beyond which none is kept any more; 0: no limit."""
        self._blobs = blobs
        self._store = store
        self._most_of_user = most_of_user

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        """See `Blobs`; `BlobsUnavailable` too for a user who keeps too much. A store that is away costs the size and
        not the blob; the next one is told again."""
        await self._check_user(name)
        size = await self._blobs.put(name, chunks)
        try:
            await self._store.set_stored(name, size)
        except StoreUnavailable as error:
            log.warning("session %s: its snapshot's size is not counted: %s", name, error)
        return size

    async def _check_user(self, name: str) -> None:
        if not self._most_of_user:
            return
        try:
            owner = (await self._store.get_session(name)).owner
            held = await self._store.held_by(owner, stored=self._most_of_user)
        except (StoreUnavailable, SessionNotFound):  # who is not known is not counted
            return
        if held.stored >= self._most_of_user:
            raise BlobsUnavailable(
                f"Its owner's snapshots have {held.stored // MB} MB and may have {self._most_of_user // MB} MB."
            )

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
