"""A connection that was handed over: aiohttp lists, logs, cancels and shuts down its request as if it had it still."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from yarl import URL

from gateway.web.request.middleware import AccessLogger
from gateway.web.streams.upgrade import Upgraded
from gateway.websocket.messages import Messages
from gateway.websocket.pace import Pace
from tests.gateway.fakes import until
from tests.rawpeer import Op, connect, dial, frame, handshake

Handle = Callable[[Messages], Awaitable[None]]


@dataclass
class Server:
    runner: web.AppRunner
    url: URL
    sockets: list[Messages] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    @property
    def open(self) -> int:
        assert self.runner.server is not None
        return len(self.runner.server.connections)


@asynccontextmanager
async def serving(handle: Handle) -> AsyncIterator[Server]:
    async def route(request: web.Request) -> web.StreamResponse:
        socket = Messages(server=True, limit=2**20, pace=Pace(), name="browser")
        response = Upgraded("vaporforge", socket)
        await response.prepare(request)
        server.sockets.append(socket)
        try:
            await handle(socket)
        except asyncio.CancelledError:
            server.ends.append("cancelled")
            raise
        server.ends.append("returned")
        return response

    app = web.Application()
    app.router.add_get("/", route)
    runner = web.AppRunner(
        app,
        handler_cancellation=True,
        access_log_class=AccessLogger,
        access_log=logging.getLogger("test.access"),
        shutdown_timeout=0.2,
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server = Server(runner, URL(f"http://127.0.0.1:{runner.addresses[0][1]}/"))
    try:
        yield server
    finally:
        await runner.cleanup()


async def echo(socket: Messages) -> None:
    async for message in socket:
        await socket.send_text(message)
    await socket.close(1000)


async def test_what_comes_with_the_handshake_is_read_and_the_subprotocol_told() -> None:
    async with serving(echo) as server, dial(server.url) as peer:
        await peer.send(
            handshake(server.url, {"Sec-WebSocket-Protocol": "vaporforge"})
            + frame(Op.TEXT, b"at once")
            + frame(Op.CLOSE, b"\x03\xe8")
        )
        head = await peer.reader.readuntil(b"\r\n\r\n")
        assert b"Sec-WebSocket-Protocol: vaporforge" in head
        assert (await peer.read()).payload == b"at once"
        assert await peer.read_close() == 1000
        assert await peer.reader.read() == b""


async def test_an_orderly_end_is_logged_and_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "test.access")
    async with serving(echo) as server:
        for _ in range(3):
            async with connect(server.url, {}) as peer:
                await peer.send(frame(Op.CLOSE, b"\x03\xe8"))
                assert await peer.read_close() == 1000
                assert await peer.reader.read() == b""
        await until(lambda: server.open == 0)
        assert server.ends == ["returned"] * 3
        assert [record.getMessage().split()[1:4] for record in caplog.records] == [["GET", "/", "101"]] * 3


async def test_a_browser_that_just_goes_cancels_its_handler_and_leaves_nothing_behind() -> None:
    async def wait(_socket: Messages) -> None:
        await asyncio.Event().wait()

    async with serving(wait) as server:
        async with connect(server.url, {}):
            await until(lambda: server.open == 1)
        await until(lambda: server.open == 0)
        assert server.ends == ["cancelled"]


async def test_a_shutdown_ends_what_is_open() -> None:
    async def wait(socket: Messages) -> None:
        await socket.receive()

    async with serving(wait) as server, connect(server.url, {}) as peer:
        await until(lambda: len(server.sockets) == 1)
        await server.runner.cleanup()
        assert await peer.reader.read() == b""
        await until(lambda: server.sockets[0].lost.done())


async def test_an_unmasked_frame_is_refused_and_said() -> None:
    async with serving(echo) as server, connect(server.url, {}) as peer:
        await peer.send(frame(Op.TEXT, b"unmasked", masked=False) + b"x" * 100_000)
        assert await peer.read_close() == 1002
        assert await peer.reader.read() == b""
        await until(lambda: server.ends == ["returned"])
