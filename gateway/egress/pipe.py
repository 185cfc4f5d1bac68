"""Two connections as one: bytes go both ways as they come, each side's reading waits for the other's writing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

CHUNK: Final = 64 * 1024

Passed = Callable[[int], Awaitable[None]]
"""Told how many bytes have passed; what it raises ends the pipe."""

Side = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def pipe(near: Side, far: Side, *, idle: float, passed: Passed) -> None:
    """Join the two until both have ended, or nothing passes for `idle` seconds (`TimeoutError`). An end that comes
    from one side is told to the other, which may still say what it has to say. Raises what `passed` raises, and
    `OSError` for a connection that is lost."""
    async with asyncio.timeout(idle) as deadline:
        ways = [
            asyncio.create_task(_copy(near[0], far[1], deadline, idle, passed)),
            asyncio.create_task(_copy(far[0], near[1], deadline, idle, passed)),
        ]
        try:
            await asyncio.gather(*ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def pour(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, idle: float, passed: Passed
) -> None:
    """One way of `pipe` alone: the source's other way stays open, for a server gives up an answer whose asker seems to
    have left."""
    async with asyncio.timeout(idle) as deadline:
        await _copy(source, sink, deadline, idle, passed)


async def _copy(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    deadline: asyncio.Timeout,
    idle: float,
    passed: Passed,
) -> None:
    loop = asyncio.get_running_loop()
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
        deadline.reschedule(loop.time() + idle)
        await passed(len(data))
    if writer.can_write_eof():
        with suppress(OSError):
            writer.write_eof()
