"""Where a reader's frames go: what a follower asks of it."""

from __future__ import annotations

from typing import Any, Protocol

from container.protocol import FrameType, encode


class Sink(Protocol):
    """Takes messages of one or more whole frames, a frame a line; waits while its peer is slow.

    Raises ConnectionError (aiohttp's ClientConnectionResetError is one) once the peer is gone.
    """

    batch: bool

    async def send(self, message: bytes) -> None: ...


async def tell(sink: Sink, kind: FrameType, **fields: Any) -> None:
    """Send a frame about the connection: it has no `seq` and is not recorded."""
    await sink.send(encode({"type": kind, **fields}))
