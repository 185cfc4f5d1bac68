"""Nobody gets a sandbox's token, a prompt or a file who has not shown to know the token, whoever had the address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp import web

from container.protocol import sandbox_token, server_proof
from gateway.errors import SandboxUnavailable
from gateway.sandboxes.agent_client import AgentClient, sandbox_client
from gateway.sandboxes.drivers import Sandbox, SandboxState, proof
from gateway.sandboxes.drivers.ready import ping
from tests.listening import listening

SECRET = "x" * 32
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n"


def token_of(session: str) -> str:
    return sandbox_token(SECRET.encode(), session)


def at(port: int, session: str = "a", host: str = "127.0.0.1") -> Sandbox:
    return Sandbox(session=session, state=SandboxState.RUNNING, host=host, port=port)


class Server:
    """An agent server as far as a connection's beginning goes, of the session `whose`: what it was asked, by
    connection."""

    def __init__(self, whose: str = "a") -> None:
        self.whose = whose
        self.asked: list[list[str]] = []
        self.tokens: set[str] = set()
        self._connections: dict[tuple[str, int], list[str]] = {}

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[int]:
        app = web.Application()
        app.router.add_get("/proof", self._prove)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", 0).start()
        yield runner.addresses[0][1]
        await runner.cleanup()

    async def _prove(self, request: web.Request) -> web.Response:
        self._note(request)
        assert request.transport is not None
        host, port = request.transport.get_extra_info("sockname")
        return web.Response(text=server_proof(token_of(self.whose), request.query["nonce"], host, port))

    async def _answer(self, request: web.Request) -> web.Response:
        self._note(request)
        self.tokens.add(request.headers.get("Authorization", "").removeprefix("Bearer "))
        return web.json_response({"status": "ok", "session": self.whose})

    def _note(self, request: web.Request) -> None:
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")
        known = self._connections.get(peer)
        if known is None:
            known = self._connections[peer] = []
            self.asked.append(known)
        known.append(request.path)


async def test_a_connection_is_proven_once_and_used_again() -> None:
    server = Server()
    async with server.serve() as port, sandbox_client() as client:
        for _ in range(3):
            assert await ping(client, at(port), secret=SECRET) == {"status": "ok", "session": "a"}
    assert server.asked == [["/proof", "/ping", "/ping", "/ping"]]
    assert server.tokens == {token_of("a")}


async def leaves_a_prompt(agent: AgentClient, sandbox: Sandbox) -> None:
    await agent.put_pending(sandbox, "r", {"prompt": "a secret"})


async def attaches(agent: AgentClient, sandbox: Sandbox) -> None:
    await agent.attach(sandbox, "r", after=0, batch=True)


async def restores(agent: AgentClient, sandbox: Sandbox) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a secret"

    await agent.restore(sandbox, chunks())


async def joins(agent: AgentClient, sandbox: Sandbox) -> None:
    await agent.relay(sandbox)


Call = Callable[[AgentClient, Sandbox], Awaitable[None]]


@pytest.mark.parametrize("call", [leaves_a_prompt, attaches, restores, joins])
async def test_another_sandbox_at_the_address_gets_nothing(call: Call) -> None:
    server = Server("b")
    async with server.serve() as port, sandbox_client() as client:
        with pytest.raises(SandboxUnavailable):
            await call(AgentClient(client, SECRET), at(port))
        assert await ping(client, at(port), secret=SECRET) is None
    assert {path for connection in server.asked for path in connection} == {"/proof"}
    assert server.tokens == set()


async def test_a_connection_that_another_sandbox_has_proven_is_not_used() -> None:
    """The address passed on while the gateway's connections to it were open: now it is believed to be b's."""
    server = Server("a")
    async with server.serve() as port, sandbox_client() as client:
        assert await ping(client, at(port), secret=SECRET)
        with pytest.raises(SandboxUnavailable):
            await leaves_a_prompt(AgentClient(client, SECRET), at(port, "b"))
        server.whose = "b"
        assert await ping(client, at(port, "b"), secret=SECRET)
    assert server.asked == [["/proof", "/ping"], ["/proof"], ["/proof", "/ping"]]


async def test_nobody_has_it_said_for_them_by_the_one_who_can() -> None:
    """Who sits at the old address passes the question on to the sandbox at its new one, which answers everybody."""
    server = Server()
    async with server.serve() as real, aiohttp.ClientSession() as forward:

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            asked = head.split()[1].decode()
            async with forward.get(f"http://127.0.0.1:{real}{asked}") as answer:
                writer.write(OK + await answer.read())
            heads.append(await reader.read())

        heads: list[bytes] = []
        async with listening(pass_on) as port, sandbox_client() as client:
            assert await ping(client, at(port), secret=SECRET) is None
        for host in ("127.0.0.2", "127.0.0.1"):  # at itself it is right, by whichever of its addresses
            async with sandbox_client() as client:
                assert await ping(client, at(real, host=host), secret=SECRET)
    assert heads in ([], [b""])


ANSWERS = {
    "nothing": b"",
    "too little": OK + b"0" * 63,
    "a wrong one": OK + b"0" * 64,
    "no digits": OK + b"\xff" * 64,
    "more than one": OK + b"0" * 65,
    "no length": b"HTTP/1.1 200 OK\r\n\r\n" + b"0" * 64,
    "another length": b"HTTP/1.1 200 OK\r\nContent-Length: 65\r\n\r\n" + b"0" * 64,
    "refused": b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 64\r\n\r\n" + b"0" * 64,
    "an older agent server": b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
    "no HTTP": b"\x00\xff\r\n\r\n" + b"0" * 64,
    "without end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000,
}


@pytest.mark.parametrize("stays", [True, False], ids=["stays", "goes"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
async def test_whatever_else_is_said_proves_nothing(
    answer: bytes, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "PROOF_SECONDS", 0.5)
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        if stays:
            heard.append(await reader.read())

    async with listening(talk) as port, sandbox_client() as client:
        agent = AgentClient(client, SECRET)
        for call in (leaves_a_prompt, attaches):
            with pytest.raises(SandboxUnavailable):
                await call(agent, at(port))
    everything = b"".join(heard)
    assert b"vfs1." not in everything
    assert b"a secret" not in everything


async def test_who_gets_no_sandbox_s_token_is_asked_nothing() -> None:
    server = Server()
    async with server.serve() as port, sandbox_client() as client:
        for headers in ({}, {"Authorization": "Bearer of-the-model-api"}, {"Authorization": "Claim vfc1.x"}):
            async with client.get(f"http://127.0.0.1:{port}/v1", headers=headers) as answer:
                assert answer.status == 200
    assert server.asked == [["/v1"] * 3]


def test_it_is_the_same_on_the_gateway_s_own_loop() -> None:
    async def proven() -> Any:
        server = Server()
        async with server.serve() as port, sandbox_client() as client:
            first = await ping(client, at(port), secret=SECRET)
            with pytest.raises(SandboxUnavailable):
                await leaves_a_prompt(AgentClient(client, SECRET), at(port, "b"))
            with pytest.raises(SandboxUnavailable):
                await attaches(AgentClient(client, SECRET), at(port))  # proven, and no WebSocket
            return first, server.asked

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        first, asked = runner.run(proven())
    assert first == {"status": "ok", "session": "a"}
    assert asked == [["/proof", "/ping"], ["/proof"], ["/proof", "/ws"]]
