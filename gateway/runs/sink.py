"""Where a reader's frames go: what a follower asks of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from container.protocol import FrameType, encode, seq_of
from gateway.websocket.messages import Messages

PROCESS_EXIT = b'"type":"%s"' % FrameType.PROCESS_EXIT.encode()
"""In a message that has the frame. Within a string of JSON the quotes would be escaped."""


class Progress:
    """How far a reader has got: `cursor`, its last frame, and whether that `ended` its run."""

    def __init__(self, after: int) -> None:
        self.cursor = after
        self.ended = False

    def note(self, message: bytes) -> bool:
        """Take a message that is being sent; whether it has frames of the run, rather than of the connection."""
        seq = seq_of(message)
        if seq is None:
            return False
        self.cursor = seq
        self.ended = self.ended or PROCESS_EXIT in message
        return True


class Sink(Protocol):
    """Takes messages of one or more whole frames, a frame a line; waits while its peer is slow.

    Raises ConnectionError (aiohttp's ClientConnectionResetError is one) once the peer is gone.
    """

    batch: bool

    async def send(self, message: bytes) -> None: ...

    def encoded(self, messages: Iterable[bytes]) -> bytes:
        """The bytes that `send` would write for these messages, for `write`."""

    async def write(self, data: bytes) -> None:
        """Write what is encoded."""

    async def pump(self, upstream: Messages, progress: Progress) -> None:
        """Send all that comes of `upstream`, to its end; `progress` is noted before the sending, for who is cancelled
        in it has sent."""


async def copy(upstream: Messages, sink: Sink, progress: Progress) -> None:
    """A sink's `pump`, one message after the other."""
    async for message in upstream:
        progress.note(message)
        await sink.send(message)


async def tell(sink: Sink, kind: FrameType, **fields: Any) -> None:
    """Send a frame about the connection: it has no `seq` and is not recorded."""
    await sink.send(encode({"type": kind, **fields}))
