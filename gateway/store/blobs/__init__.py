"""Blobs: where the snapshots of sandboxes are kept, one for a session. The `Blobs` protocol and its choice."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from container.protocol import RUN_ID
from gateway.errors import NotFound, Unavailable


class BlobNotFound(NotFound):
    """There is no blob of that name."""

    code = "blob-not-found"


class BlobsUnavailable(Unavailable):
    """The place for blobs is away, full, or does not let this gateway in."""

    code = "blobs-unavailable"


class Blobs(Protocol):
    """Byte streams by name; a name is a session's id. Any number of gateways may share one place.

    Every method may raise `BlobsUnavailable`, and may be called again. A name that is no id is a ValueError.
    """

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        """Keep what `chunks` yields, in place of what was there; its size in bytes.

        Whole or not at all: until this returns, and when `chunks` raises (the error passes), readers get what was
        there before. Of two at the same time one is kept, whole.
        """

    def open(self, name: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The blob's chunks, of one version throughout, whoever replaces or deletes it meanwhile (`BlobsUnavailable`
        where that cannot be had). Entering raises `BlobNotFound`."""

    async def delete(self, name: str) -> None:
        """Delete the blob and what a broken-off `put` of it left; deleting what is gone is success."""

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        """The first names behind `after`, in ASCII order; fewer than `limit` only when there are no more. What is no
        id is not a blob."""

    async def close(self) -> None:
        """Release threads and sockets. May be called twice."""


def checked(name: str) -> str:
    """`name`, which is an id: no path leads out of the place by it. Raises ValueError."""
    if not RUN_ID.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a blob")
    return name


async def grouped(chunks: AsyncIterable[bytes], size: int) -> AsyncIterator[bytes]:
    """The same bytes in chunks of exactly `size`, but for the last one."""
    held = bytearray()
    async for chunk in chunks:
        held += chunk
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)
