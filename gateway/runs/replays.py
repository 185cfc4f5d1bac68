"""Recorded frames for many readers at once: in turns, so that a crowd of them leaves the loop to whoever reads live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Final

from gateway.runs.sink import Progress, Sink
from gateway.store import Store

AT_ONCE: Final = 8
"""Turns within one round of the loop, and pages that are read side by side: each wants a thread that parses them."""

TURN_BYTES: Final = 32 * 1024
"""Frames for one turn; encoding them takes less than a millisecond."""


Split = Callable[[bytes], Iterable[bytes]]
"""A chunk of frames into messages."""

HELD_SECONDS: Final = 2.0
"""A reader that takes nothing for so long is read for again once it does: what was read for it would be hundreds of
kilobytes of memory for each that never reads."""


class Replays:
    """The readers of this gateway that are given what is in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def read(self, session: str, run: str, *, after: int) -> AsyncGenerator[bytes, None]:
        """See `Store.read_frames`."""
        chunks = self._store.read_frames(session, run, after=after)
        while True:
            async with self._turn():
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            yield chunk

    async def replay(self, session: str, run: str, sink: Sink, progress: Progress, split: Split) -> None:
        """Send a reader every frame behind its cursor, `split` into messages. No turn is held while it is slow."""
        while (late := await self._replay(session, run, sink, progress, split)) is not None:
            await late

    async def _replay(
        self, session: str, run: str, sink: Sink, progress: Progress, split: Split
    ) -> asyncio.Task[None] | None:
        """Up to the end (None), or to a write that takes long; who waits for that holds nothing else."""
        async with aclosing(self.read(session, run, after=progress.cursor)) as chunks:
            async for chunk in chunks:
                for group in _groups(split(chunk)):
                    async with self._turn():
                        data = sink.encoded(group)
                    progress.note(group[-1])
                    writing = asyncio.ensure_future(sink.write(data))
                    try:
                        await asyncio.wait((writing,), timeout=HELD_SECONDS)
                    except asyncio.CancelledError:
                        writing.cancel()
                        raise
                    if not writing.done():
                        return writing
                    writing.result()
        return None

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        async with self._turns:
            yield
            await asyncio.sleep(0)  # else one turn would follow the other within the same round


def _groups(messages: Iterable[bytes]) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    size = 0
    for message in messages:
        if group and size + len(message) > TURN_BYTES:
            yield group
            group, size = [], 0
        group.append(message)
        size += len(message)
    if group:
        yield group
