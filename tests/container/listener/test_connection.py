"""What one guarded connection keeps: nothing of what was refused, and little for a client that never reads."""

from __future__ import annotations

import asyncio
import gc
import socket
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from aiohttp import web

from tests.container.listener.test_listener import Peer, serving

PEERS = 20
HALF_LINE = b"GET /" + b"a" * 200_000
PIECE = b"x" * 65536
PIECES = 256
MOST_TAKEN = 2 * 2**20


async def half_lines_are_not_kept() -> None:
    async with serving() as bench:
        peers: list[Peer] = []
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(PEERS):
                peers.append(peer := await bench.dial())
                await peer.pour([HALF_LINE])
                assert (await peer.answer())[0] == 400
                peer.writer.close()
            while bench.listener.server is not None and bench.listener.server.connections:
                await asyncio.sleep(0.01)
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
    assert after - before < PEERS * len(HALF_LINE) / 4


async def who_never_reads_gets_little() -> None:
    taken = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal taken
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(PIECES):
            await response.write(PIECE)
            taken += len(PIECE)
        return response

    async with serving() as bench:
        bench.listener.app.router._frozen = False
        bench.listener.app.router.add_get("/endless", endless)
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(raw, bench.listener.addresses[0])
            await loop.sock_sendall(raw, b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            last = -1
            while taken != last:
                last = taken
                await asyncio.sleep(0.3)
    assert 0 < taken < MOST_TAKEN


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("test", [half_lines_are_not_kept, who_never_reads_gets_little])
def test_on_both_loops(
    test: Callable[[], Coroutine[Any, Any, None]], loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(test())
