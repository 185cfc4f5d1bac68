"""Every HTTP answer of an agent server, and of the launcher, as a hostile one gives it: read in part, in time, unpacked
never, and believed only where it can be true."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from gateway.errors import BadRequest, Conflict, SandboxUnavailable, VaporForgeError
from gateway.sandboxes import agent_client, reaper
from gateway.sandboxes.agent_client import AgentClient, sandbox_client
from gateway.sandboxes.drivers import Sandbox, SandboxState
from gateway.sandboxes.drivers.docker import DockerDriver
from gateway.sandboxes.drivers.ready import ping, wait_ready
from gateway.sandboxes.reaper import Reaper
from gateway.sandboxes.snapshots import Snapshots, Taken
from tests.gateway.fakes import FakeDriver, FakeStore, a_run, a_session, quick_settings
from tests.hostile import HostileServer, Talk, again_and_again, endless, silence, whole

SECRET = "x" * 32
MB = 1024 * 1024
SENT = 8 * MB
"""More than sockets' and parsers' buffers together hold: what a test's server sent beyond it was read by somebody."""

SECONDS = 1.0
"""A deadline that the tests set, and `SLACK` what a busy machine may add."""
SLACK = 10.0

READY = {"status": "ok", "session": "s", "fresh": True}
BOMB = gzip.compress(b'{"session":"s","fresh":true,"x":"' + b"0" * (40 * MB) + b'"}')
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
GZIP = "Content-Encoding: gzip"


def at(port: int) -> Sandbox:
    return Sandbox(session="s", state=SandboxState.RUNNING, host="127.0.0.1", port=port)


FLOODS: dict[str, Talk] = {
    "400 MB": again_and_again(HEAD + b'Content-Length: 419430400\r\n\r\n{"session":"s","x":"', b"0" * 65536),
    "without end": endless("200 OK", b" " * 65536),
    "without end, a byte a chunk": endless("200 OK", b" "),
    "headers without end": again_and_again(HEAD, b"X-More: 0123456789\r\n" * 100),
    "one header without end": again_and_again(HEAD + b"X-More: ", b"0" * 65536),
    "a status line without end": again_and_again(b"HTTP/1.1 200 ", b"O" * 65536),
    "100 Continue without end": again_and_again(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 10, pause=0.001),
    "a gzip bomb": whole("200 OK", BOMB, GZIP),
    "deflated": endless("200 OK", BOMB[:65536], "Content-Encoding: deflate"),
}
TRIFLES: dict[str, Talk] = {
    "nothing": silence,
    "a byte a second": again_and_again(HEAD + b"Content-Length: 9999\r\n\r\n", b" ", pause=0.2),
    "deep lists": whole("200 OK", b"[" * 16_000),
    "deep objects": whole("200 OK", b'{"a":' * 3_000),
    "deep in a good one": whole("200 OK", b'{"session":"s","x":' + b"[" * 15_000),
    "a list": whole("200 OK", b"[]"),
    "a number": whole("200 OK", b"1e999"),
    "digits": whole("200 OK", b'{"session":"s","fresh":true,"x":%s}' % (b"1" * 5000)),
    "no JSON": whole("200 OK", b"\xff\x00"),
    "not a number": whole("200 OK", b'{"session":"s","x":NaN}'),
    "a session that is a list": whole("200 OK", b'{"session":["s"]}'),
    "another session": whole("200 OK", b'{"session":"t"}'),
    "an error": whole("500 Internal Server Error", json.dumps(READY).encode()),
    "elsewhere": whole("302 Found", b"", "Location: http://127.0.0.1:1/"),
    "not HTTP": again_and_again(b"", b"\x00\xff" * 100),
}


@pytest.mark.parametrize("talk", [*FLOODS.values(), *TRIFLES.values()], ids=[*FLOODS, *TRIFLES])
async def test_a_ping_that_is_none_is_no_answer(talk: Talk) -> None:
    server = HostileServer(talk)
    async with server.serve() as port, sandbox_client() as client:
        begun = time.monotonic()
        assert await ping(client, at(port), secret=SECRET, seconds=SECONDS) is None
        assert time.monotonic() - begun < SECONDS + SLACK
    assert server.sent < SENT


@pytest.mark.parametrize("fresh", ["yes", 1, [True], None])
async def test_fresh_is_true_or_it_is_not(fresh: Any) -> None:
    async def look() -> Sandbox:
        raise AssertionError("it is there")

    server = HostileServer(whole("200 OK", json.dumps({**READY, "fresh": fresh}).encode()))
    async with server.serve() as port, sandbox_client() as client:
        found = await wait_ready(
            at(port), client=client, secret=SECRET, look=look, look_seconds=60, seconds=SLACK
        )
    assert found.fresh is False


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[tuple[HostileServer, AgentClient, Sandbox]]:
    server = HostileServer(talk)
    async with server.serve() as port, sandbox_client() as client:
        yield server, AgentClient(client, SECRET), at(port)


@pytest.fixture(autouse=True)
def short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_client, "CALL", aiohttp.ClientTimeout(total=SECONDS))
    monkeypatch.setattr(agent_client, "HEAD_SECONDS", SECONDS)


async def snapshot(agent: AgentClient, sandbox: Sandbox) -> None:
    async with agent.snapshot(sandbox, idle=0) as taken:
        assert taken is not None
        async for _ in taken.chunks:
            pass


async def no_chunks() -> AsyncIterator[bytes]:
    yield b"a snapshot"


CALLS: dict[str, Callable[[AgentClient, Sandbox], Awaitable[object]]] = {
    "put_pending": lambda agent, sandbox: agent.put_pending(sandbox, "r", {}),
    "signal": lambda agent, sandbox: agent.signal(sandbox, "r", "stop"),
    "retire": lambda agent, sandbox: agent.retire(sandbox, idle=0),
    "snapshot": snapshot,
}
ERRORS: dict[str, tuple[Talk, type[VaporForgeError]]] = {
    "an error without end": (endless("400 Bad Request", b"x" * 65536), BadRequest),
    "an error that never comes whole": (
        again_and_again(b"HTTP/1.1 400 No\r\nContent-Length: 99999\r\n\r\n", b"x", pause=0.1),
        SandboxUnavailable,
    ),
    "an encoded error": (whole("400 Bad Request", BOMB, GZIP), SandboxUnavailable),
    "an encoded answer": (endless("200 OK", BOMB[:65536], GZIP), SandboxUnavailable),
    "no answer": (silence, SandboxUnavailable),
    "headers without end": (FLOODS["headers without end"], SandboxUnavailable),
    "deep lists": (whole("503 Service Unavailable", b"[" * 16_000), SandboxUnavailable),
}


@pytest.mark.parametrize(("talk", "error"), ERRORS.values(), ids=ERRORS.keys())
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_every_call_ends_in_time_and_reads_little(
    call: Callable[[AgentClient, Sandbox], Awaitable[object]], talk: Talk, error: type[VaporForgeError]
) -> None:
    async with talking(talk) as (server, agent, sandbox):
        begun = time.monotonic()
        with pytest.raises(error):
            await call(agent, sandbox)
        assert time.monotonic() - begun < SECONDS + SLACK
    assert server.sent < SENT


class CountingBlobs:
    """Counts what it is given and keeps nothing."""

    def __init__(self) -> None:
        self.size = 0

    async def put(self, _name: str, chunks: AsyncIterator[bytes]) -> int:
        async for chunk in chunks:
            self.size += len(chunk)
        return self.size

    async def list(self, **_: Any) -> list[str]:
        return []


async def test_a_snapshot_without_end_is_given_up_at_its_limit() -> None:
    blobs = CountingBlobs()
    async with talking(endless("200 OK", b"0" * 65536)) as (server, agent, sandbox):
        snapshots = Snapshots(quick_settings(snapshot_mb=1), blobs, agent)  # type: ignore[arg-type]
        assert await snapshots.take(sandbox, idle=0) is Taken.FAILED
    assert blobs.size <= MB
    assert server.sent < SENT + MB


async def test_a_snapshot_that_trickles_is_given_up_in_time() -> None:
    trickle = again_and_again(HEAD + b"Content-Length: 99999\r\n\r\n", b"0", pause=0.05)
    async with talking(trickle) as (_, agent, sandbox):
        settings = quick_settings(snapshot_seconds=SECONDS)
        snapshots = Snapshots(settings, CountingBlobs(), agent)  # type: ignore[arg-type]
        assert await snapshots.take(sandbox, idle=0) is Taken.FAILED


async def test_an_encoded_snapshot_is_none() -> None:
    blobs = CountingBlobs()
    async with talking(whole("200 OK", gzip.compress(b"0" * (20 * MB)), GZIP)) as (_, agent, sandbox):
        snapshots = Snapshots(quick_settings(), blobs, agent)  # type: ignore[arg-type]
        with pytest.raises(SandboxUnavailable, match="encoded"):
            await snapshots.take(sandbox, idle=0)
    assert blobs.size == 0


BUSY = whole("409 Conflict", b'{"code":"busy"}')


async def break_off(writer: asyncio.StreamWriter) -> None:
    """A snapshot that never comes whole."""
    writer.write(HEAD + b"Content-Length: 99999\r\n\r\nx")
    await writer.drain()


@pytest.mark.parametrize(
    ("talk", "snapshots"),
    [(BUSY, False), (BUSY, True), (break_off, True)],
    ids=["409 for ever", "409 for ever, with snapshots", "breaks off for ever"],
)
async def test_a_sandbox_that_is_busy_for_ever_while_its_session_is_idle_is_stopped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, talk: Talk, snapshots: bool
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(reaper, "BUSY_ROUNDS", 3)
    monkeypatch.setattr(reaper, "SILENT_ROUNDS", 2)
    driver, store = FakeDriver(), FakeStore(a_run())
    store.session = a_session()
    async with talking(talk) as (_, agent, sandbox):
        monkeypatch.setattr(FakeDriver, "sandbox", property(lambda _: _started(sandbox, 1.0)))
        kept = Snapshots(quick_settings(), CountingBlobs(), agent) if snapshots else None  # type: ignore[arg-type]
        one = Reaper(driver, store, agent, kept, idle=60)  # type: ignore[arg-type]
        for stops in (0, 0, 1):
            await one.reap()
            assert driver.stops == stops


def _started(sandbox: Sandbox, at_seconds: float) -> Sandbox:
    return Sandbox(
        session=sandbox.session,
        state=sandbox.state,
        host=sandbox.host,
        port=sandbox.port,
        started_at=at_seconds,
    )


LAUNCHER: dict[str, Talk] = {
    **{name: FLOODS[name] for name in ("without end", "a gzip bomb", "headers without end", "deflated")},
    **{name: TRIFLES[name] for name in ("deep lists", "a list", "a number", "no JSON", "not HTTP")},
    "no fields": whole("200 OK", b"{}"),
    "wrong types": whole(
        "200 OK",
        b'{"session":["s"],"state":{},"host":1,"port":"x","startedAt":null,"lostReason":[]}',
    ),
    "a time that is none": whole(
        "200 OK",
        b'{"session":"s","state":"running","host":"h","port":1,"startedAt":1e400,"lostReason":""}',
    ),
    "an error that is a list": whole("500 Internal Server Error", b"[]"),
}


@pytest.mark.parametrize("ask", ["status", "list"])
@pytest.mark.parametrize("talk", LAUNCHER.values(), ids=LAUNCHER.keys())
async def test_the_launcher_is_read_with_the_same_care(talk: Talk, ask: str) -> None:
    server = HostileServer(talk)
    async with server.serve() as port:
        settings = quick_settings(launcher_url=f"http://127.0.0.1:{port}", launcher_secret=SECRET)
        driver = DockerDriver(settings)
        try:
            with pytest.raises(SandboxUnavailable):
                await (driver.status("s") if ask == "status" else driver.list())
        finally:
            await driver.close()
    assert server.sent < 16 * MB + SENT


async def test_a_conflict_is_told_as_one() -> None:
    async with talking(BUSY) as (_, agent, sandbox):
        with pytest.raises(Conflict):
            await agent.signal(sandbox, "r", "pause")
        assert await agent.retire(sandbox, idle=0) is False
