"""A sandbox that breaks the protocol in every way it can: its runs end, with a reason, and nobody else's suffer."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import re
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from gateway.errors import BadRequest, SandboxUnavailable
from gateway.sandboxes.agent_client import AgentClient, sandbox_client
from gateway.sandboxes.drivers import Sandbox, SandboxState
from gateway.sandboxes.drivers.ready import wait_ready
from tests.gateway.stack import SECRET
from tests.hostile import (
    HostileSandbox,
    HostileServer,
    HostileStack,
    OneAddress,
    Talk,
    silence,
    taken_as_known,
    whole,
)
from tests.listening import listening
from tests.tunnel import answer, tunnel

pytestmark = pytest.mark.slow

SECONDS = 60.0
START_SECONDS = 1.0
"""How long a gateway of these tests tries to reach a sandbox."""

ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %s\r\n\r\n"
)
REDIRECT = b"HTTP/1.1 %d Elsewhere\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
ENDLESS = b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextlib.asynccontextmanager
async def hostile(endpoint: str, root: Path, sandbox: HostileSandbox) -> AsyncIterator[HostileStack]:
    async with tunnel(sandbox.choose) as port, stack_at(endpoint, root, port) as stack:
        yield stack


def stack_at(endpoint: str, root: Path, port: int, **changes: Any) -> HostileStack:
    return HostileStack(
        endpoint, f"t{uuid4().hex}", root, port, **{"start_seconds": START_SECONDS, **changes}
    )


async def ending(stack: HostileStack, session: str) -> None:
    """A prompt's reader is told the end, or to read again from the start; the store has the end, and no success."""
    frames = []
    async with asyncio.timeout(SECONDS), stack.connect(session, prompt="anything") as socket:
        async for message in socket:
            with contextlib.suppress(ValueError):  # What a sandbox says is handed on unread.
                frames.append(json.loads(message.data))
    said = [frame["type"] for frame in frames if "seq" in frame or frame["type"] == "error"]
    assert said[-1] == {1000: "process-exit", 4416: "error"}[socket.close_code or 0]
    messages = (await stack.get(f"/api/sessions/{session}/messages"))["messages"]
    assert await stack.final(session, messages[0]["run"]) in ("lost", "failed")
    assert (await stack.get(f"/api/sessions/{session}"))["activeRun"] is None


def accept(head: bytes) -> bytes:
    """The right answer to a handshake."""
    found = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
    assert found
    digest = hashlib.sha1(found[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return ACCEPTED % base64.b64encode(digest)


def run_in(head: bytes) -> bytes:
    """The run that a request asks for."""
    found = re.search(rb"[?&]run=([A-Za-z0-9_-]+)", head)
    return found[1] if found else b""


def said(payload: bytes, op: int = 1) -> bytes:
    """A server's frame."""
    size = len(payload)
    if size < 126:
        return bytes([0x80 | op, size]) + payload
    if size < 65536:
        return bytes([0x80 | op, 126]) + struct.pack(">H", size) + payload
    return bytes([0x80 | op, 127]) + struct.pack(">Q", size) + payload


NAME = b"@" * 26
"""Stands for the run's id, which is as long."""

RUN = b'{"type":"run","run":"%s","seq":1}' % NAME
REFUSALS = {
    "500": answer("500 Internal Server Error"),
    "404": answer("404 Not Found", b'{"error":"no","code":"run-not-found"}'),
    "416": answer("416 Range Not Satisfiable"),
    "302": REDIRECT % (302, b"http://127.0.0.1:1/"),
    "200": answer("200 OK", b"hello"),
    "not HTTP": b"\x00\xff" * 100,
    "nothing": b"",
    "wrong accept": ACCEPTED % b"bm90IGl0",
}
BREAKS = {
    "closes at once": b"",
    "closes with 1000": said(b"\x03\xe8", 8),
    "closes in a frame": said(RUN)[:-3],
    "no JSON": said(b'{"type":"text-delta","text":oops,"run":"%s","seq":1}' % NAME),
    "no UTF-8": said(b'{"type":"text-delta","text":"\xc3\x28","run":"%s","seq":1}' % NAME),
    "a gap": said(RUN) + said(b'{"type":"text-delta","text":"x","run":"%s","seq":7}' % NAME),
    "the same again": said(RUN) * 3,
    "another run's": said(RUN) + said(b'{"type":"text-delta","text":"x","run":"r","seq":2}'),
    "what only servers say, with a number": said(RUN) + said(b'{"type":"ping","run":"%s","seq":2}' % NAME),
    "deep": said(b'{"type":"x","v":%s,"run":"%s","seq":1}' % (b"[" * 900 + b"]" * 900, NAME)),
    "a flood of nothing": said(b"") * 1000,
    "binary": said(RUN, 2),
    "masked": bytes([0x81, 0x80, 1, 2, 3, 4]),
    "no frame": b"\xff\xff\xff\xff",
    "too long": bytes([0x81, 127]) + struct.pack(">Q", 2**62),
    "a list": said(b'["seq":1}'),
}


@pytest.mark.parametrize("reply", REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_sandbox_that_refuses(dynamodb_endpoint: str, tmp_path: Path, reply: bytes) -> None:
    async with hostile(dynamodb_endpoint, tmp_path, HostileSandbox(lambda _, head: reply)) as stack:
        await ending(stack, await stack.session())


@pytest.mark.parametrize("reply", BREAKS.values(), ids=BREAKS.keys())
async def test_a_sandbox_that_breaks_off(dynamodb_endpoint: str, tmp_path: Path, reply: bytes) -> None:
    sandbox = HostileSandbox(lambda _, head: accept(head) + reply.replace(NAME, run_in(head)))
    async with hostile(dynamodb_endpoint, tmp_path, sandbox) as stack:
        await ending(stack, await stack.session())


def at(port: int) -> Sandbox:
    return Sandbox(session="s", state=SandboxState.RUNNING, host="127.0.0.1", port=port)


async def chunks() -> AsyncIterator[bytes]:
    yield b"a snapshot"


async def snapshot(agent: AgentClient, sandbox: Sandbox) -> None:
    async with agent.snapshot(sandbox, idle=0):
        raise AssertionError("a redirect is no snapshot")


CALLS: dict[str, Callable[[AgentClient, Sandbox], Awaitable[object]]] = {
    "put_pending": lambda agent, sandbox: agent.put_pending(sandbox, "r", {"prompt": "secret"}),
    "signal": lambda agent, sandbox: agent.signal(sandbox, "r", "stop"),
    "retire": lambda agent, sandbox: agent.retire(sandbox, idle=0),
    "attach": lambda agent, sandbox: agent.attach(sandbox, "r", after=0, batch=True),
    "relay": lambda agent, sandbox: agent.relay(sandbox),
    "snapshot": snapshot,
    "restore": lambda agent, sandbox: agent.restore(sandbox, chunks()),
}


@pytest.mark.parametrize("status", [301, 303, 307])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_no_call_goes_where_a_sandbox_sends_it(
    call: Callable[[AgentClient, Sandbox], Awaitable[object]], status: int
) -> None:
    reached: list[bytes] = []

    @contextlib.asynccontextmanager
    async def elsewhere(head: bytes) -> AsyncIterator[bytes]:
        reached.append(head)
        yield answer("204 No Content")

    async with tunnel(elsewhere) as inside:

        @contextlib.asynccontextmanager
        async def redirect(head: bytes) -> AsyncIterator[bytes]:
            yield REDIRECT % (status, b"http://127.0.0.1:%d/metadata" % inside)

        async with tunnel(redirect) as port, sandbox_client() as client:
            with taken_as_known(), pytest.raises(SandboxUnavailable, match=str(status)):
                await call(AgentClient(client, "x" * 32), at(port))
    assert not reached


async def test_an_error_without_end_is_read_in_part() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ENDLESS)
        while True:
            writer.write(b"10000\r\n%s\r\n" % (b"x" * 0x10000))
            await writer.drain()

    async with listening(talk) as port, sandbox_client() as client:
        with taken_as_known(), pytest.raises(BadRequest, match="xxx"):
            await AgentClient(client, "x" * 32).signal(at(port), "r", "stop")


OK = whole("202 Accepted", b'{"state":"stopping"}')


class Deaf:
    """An agent server that says yes to all, on a WebSocket says `first` to who has nothing and does as `then` does."""

    def __init__(self, first: bytes, then: Talk, *, signals: Talk = OK) -> None:
        self._first, self._then, self._signals = first, then, signals
        self.server = HostileServer(self._talk, most=10**9)

    async def _talk(self, writer: asyncio.StreamWriter) -> None:
        head = self.server.requests[-1]
        if b" /ws?" in head:
            first = self._first.replace(NAME, run_in(head)) if b"after=0&" in head else b""
            writer.write(accept(head) + first)
            await writer.drain()
            await self._then(writer)
        elif b"/stop " in head or b"/pause " in head:
            await self._signals(writer)
        else:
            await OK(writer)


async def pings(writer: asyncio.StreamWriter) -> None:
    """Control frames without end."""
    while True:
        writer.write(said(b"", 9) * 20)
        await writer.drain()
        await asyncio.sleep(0.01)


TEXT = b'{"type":"text-delta","text":"so far","run":"%s","seq":2}' % NAME


@pytest.mark.parametrize("signals", [OK, silence], ids=["says yes to stop", "never answers stop"])
@pytest.mark.parametrize("then", [silence, pings], ids=["hangs", "pings"])
async def test_stop_is_kept_whatever_the_sandbox_does(
    dynamodb_endpoint: str, tmp_path: Path, then: Talk, signals: Talk
) -> None:
    sandbox = Deaf(said(RUN) + said(TEXT), then, signals=signals)
    async with (
        sandbox.server.serve() as port,
        stack_at(dynamodb_endpoint, tmp_path, port, start_seconds=60.0, stop_seconds=1.0) as stack,
    ):
        session = await stack.session()
        async with stack.connect(session, prompt="anything"):
            async with asyncio.timeout(SECONDS):
                while not (run := (await stack.get(f"/api/sessions/{session}"))["activeRun"]):
                    await asyncio.sleep(0.05)
                while (await stack.gateways[0].runs.store.get_run(session, run)).recorded < 2:
                    await asyncio.sleep(0.05)
            status, _ = await stack.post("/api/sdk/stop", {"sessionId": session})
            assert status == 200
            assert await stack.final(session, run, seconds=20) == "stopped"
        assert stack.driver.stops == 1
        messages = (await stack.get(f"/api/sessions/{session}/messages"))["messages"]
        assert messages[1]["content"] == "so far"


async def test_a_run_that_downs_gateway_after_gateway_is_ended_by_the_third_that_takes_it_over(
    dynamodb_endpoint: str, tmp_path: Path
) -> None:
    sandbox = Deaf(said(RUN), silence)
    async with (
        sandbox.server.serve() as port,
        stack_at(dynamodb_endpoint, tmp_path, port, start_seconds=60.0) as stack,
    ):
        session = await stack.session()
        store = stack.gateways[0].runs.store
        async with stack.connect(session, prompt="anything"), asyncio.timeout(SECONDS):
            while not (run := (await stack.get(f"/api/sessions/{session}"))["activeRun"]):
                await asyncio.sleep(0.05)
            while (await store.get_run(session, run)).recorded < 1:
                await asyncio.sleep(0.05)
        for takeovers in (1, 2):
            stack.gateways[-1].crash()
            await stack.add()
            async with asyncio.timeout(SECONDS):
                while (await store.get_run(session, run)).takeovers < takeovers:
                    await asyncio.sleep(0.05)
        stack.gateways[-1].crash()
        attached = len(sandbox.server.requests)
        assert stack.driver.stops == 0
        await stack.add()
        assert await stack.final(session, run) == "failed"
        assert stack.driver.stops == 1
        assert len(sandbox.server.requests) == attached
        messages = (await stack.get(f"/api/sessions/{session}/messages"))["messages"]
        assert messages[1]["meta"]["error"]["code"] == "sandbox-faulty"


async def test_a_pause_that_is_never_answered_is_told_so(dynamodb_endpoint: str, tmp_path: Path) -> None:
    sandbox = Deaf(said(RUN), silence, signals=silence)
    async with (
        sandbox.server.serve() as port,
        stack_at(dynamodb_endpoint, tmp_path, port, start_seconds=60.0, stop_seconds=1.0) as stack,
    ):
        session = await stack.session()
        async with stack.connect(session, prompt="anything"):
            async with asyncio.timeout(SECONDS):
                while (run := (await stack.get(f"/api/sessions/{session}"))["activeRun"]) is None or (
                    await stack.gateways[0].runs.store.get_run(session, run)
                ).state != "running":
                    await asyncio.sleep(0.05)
            async with asyncio.timeout(SECONDS):
                status, body = await stack.post("/api/sdk/pause", {"sessionId": session})
            assert (status, body["code"]) == (503, "sandbox-unavailable")


class Asking(OneAddress):
    """A driver that waits for `/ping`, as the real ones do."""

    async def ensure(self, session: str) -> Sandbox:
        async def look() -> Sandbox:
            return found

        found = await super().ensure(session)
        async with sandbox_client() as client:
            return await wait_ready(
                found, client=client, secret=SECRET, look=look, look_seconds=0.2, seconds=START_SECONDS
            )


@pytest.mark.parametrize("body", [b"[" * 16_000, b'{"session":' * 5_000], ids=["lists", "objects"])
async def test_a_ping_that_no_parser_takes_ends_the_run(
    dynamodb_endpoint: str, tmp_path: Path, body: bytes
) -> None:
    server = HostileServer(whole("200 OK", body))
    async with server.serve() as port:
        stack = stack_at(dynamodb_endpoint, tmp_path, port)
        stack.driver = Asking(port)
        async with stack:
            await ending(stack, await stack.session())


async def test_a_run_that_every_recorder_fails_on_ends(dynamodb_endpoint: str, tmp_path: Path) -> None:
    class Broken(OneAddress):
        async def ensure(self, session: str) -> Sandbox:
            raise RuntimeError(f"a fault of ours, that session {session} has found")

        async def status(self, session: str) -> Sandbox:
            return Sandbox(session=session, state=SandboxState.STOPPED)

    stack = stack_at(dynamodb_endpoint, tmp_path, 1)
    stack.driver = Broken(1)
    async with stack:
        await ending(stack, await stack.session())
