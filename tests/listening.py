"""A TCP server of a test's own that leaves nothing open, whatever was under way when the test had enough."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

Talk: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

ACCEPT_TURNS = 4
"""Turns of the loop from a connection's acceptance to the first step of what serves it."""


async def stop_accepting(server: asyncio.Server) -> None:
    """Before `server.close()`: accept nothing more, and let what was accepted come to whoever serves it. Python 3.11
    leaves a connection behind whose server is closed in between, and that is an error in whatever test comes next."""
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    for _ in range(ACCEPT_TURNS):
        await asyncio.sleep(0)


@asynccontextmanager
async def listening(talk: Talk, *, limit: int = 64 * 1024) -> AsyncIterator[int]:
    """Have `talk` serve each connection to a free port of 127.0.0.1, which is yielded, until the block is left or the
    client is; errors of the connection end it. `limit`: of the readers, in bytes.

    What was only just accepted when the block is left is closed too: a task that is cancelled before its first step
    runs none of its `finally`."""
    serving: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            # A cancelled one ends as if nothing were: asyncio's streams would log it as an error.
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await talk(reader, writer)
        finally:
            writer.transport.abort()
            serving.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=limit)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await stop_accepting(server)
        server.close()
        for task in list(serving):
            task.cancel()
        if serving:
            await asyncio.wait(serving)
        await server.wait_closed()
