"""Browser legs: where a browser is sent by a gateway that goes away, and what ends a stream of events for good."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.errors import BadRequest, CursorAhead, StoreUnavailable, VaporForgeError
from gateway.model import RunState
from gateway.web.request.expiry import NO_END
from gateway.web.streams import browser_connection as relay
from gateway.web.streams.browser_connection import (
    BrowserConnection,
    browser_socket,
    serve_events,
    serve_relay,
)
from gateway.web.streams.upgrade import Upgraded
from gateway.websocket.pace import Pace
from gateway.websocket.tunnel import End
from tests.gateway.fakes import (
    SESSION,
    FakeAgent,
    FakeSocket,
    FakeStore,
    a_run,
    a_session,
    fake_runs,
    line,
    until,
)

RUNNING = a_run(RunState.RUNNING)


def live(*frames: bytes) -> Any:
    """Runs with one that goes on after these frames."""
    return fake_runs(FakeStore(RUNNING), FakeAgent(FakeSocket(frames, close_code=None)))


@asynccontextmanager
async def serving(handle: Callable[[web.Request], Any]) -> AsyncIterator[TestClient[Any, Any]]:
    app = web.Application()
    app.router.add_get("/", handle)
    async with TestClient(TestServer(app)) as client:
        yield client


def leg(
    runs: Any, work: Callable[[BrowserConnection], Any], ends: float = NO_END
) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.StreamResponse:
        socket = browser_socket(SESSION, Pace(), 10)
        response = Upgraded(None, socket)
        await response.prepare(request)
        one = BrowserConnection(runs, socket, SESSION, ends, batch=True)
        try:
            await work(one)
        except VaporForgeError as error:
            await one.fail(error)
        return response

    return handle


async def test_a_drain_tells_a_reader_its_cursor() -> None:
    runs = live(line(1, "run"), line(2))
    async with serving(leg(runs, lambda one: one.serve(RUNNING, 0, {}))) as client:
        async with client.ws_connect("/") as socket:
            while (await socket.receive_json(timeout=30)).get("seq") != 2:
                pass
            runs.drained.set()
            told = await socket.receive_json(timeout=30)
            assert (told["type"], told["run"], told["after"]) == ("reconnect", RUNNING.id, 2)
            assert told["delayMs"] > 0
            await socket.receive(timeout=30)
        assert socket.close_code == 1001


async def test_a_drain_sends_one_that_has_not_asked_yet_elsewhere() -> None:
    runs = live()
    first: list[Any] = []

    async def work(one: BrowserConnection) -> None:
        first.append(await one.first_frame())

    async with serving(leg(runs, work)) as client, client.ws_connect("/") as socket:
        await socket.send_json({"type": "pong"})
        runs.drained.set()
        told = await socket.receive_json(timeout=30)
        assert told.keys() == {"type", "delayMs"}
        await socket.receive(timeout=30)
        await until(lambda: first == [None])
        assert socket.close_code == 1001


async def test_pongs_do_not_make_the_time_for_a_start_frame_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "START_SECONDS", 0.2)

    async def work(one: BrowserConnection) -> None:
        with pytest.raises(BadRequest):
            await one.first_frame()

    async with serving(leg(live(), work)) as client, client.ws_connect("/") as socket:
        async with asyncio.timeout(30):
            while not socket.closed:
                with suppress(ConnectionError):  # it may be closed before `receive` has told so
                    await socket.send_json({"type": "pong"})
                with suppress(TimeoutError):
                    await socket.receive(timeout=0.02)


async def test_a_start_frame_of_no_time_left_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay, "START_SECONDS", 0.0)
    async with (
        serving(leg(live(), lambda one: one.first_frame())) as client,
        client.ws_connect("/") as socket,
    ):
        assert (await socket.receive_json(timeout=30))["code"] == "bad-request"


async def test_a_token_s_end_ends_the_connection_and_not_the_run() -> None:
    runs = live(line(1, "run"))
    work = leg(runs, lambda one: one.serve(RUNNING, 0, {}), time.time() + 0.2)
    async with serving(work) as client, client.ws_connect("/") as socket:
        async with asyncio.timeout(30):
            said = [json.loads(message.data) async for message in socket]
    assert [frame["type"] for frame in said] == ["timing", "run", "error"]
    assert (said[-1]["code"], socket.close_code) == ("unauthorized", 4401)


async def test_a_token_s_end_ends_a_connection_that_has_not_asked_yet() -> None:
    work = leg(live(), lambda one: one.first_frame(), time.time() + 0.2)
    async with serving(work) as client, client.ws_connect("/") as socket:
        assert (await socket.receive_json(timeout=30))["code"] == "unauthorized"
        await socket.receive(timeout=30)
    assert socket.close_code == 4401


async def test_a_token_s_end_ends_events_for_good() -> None:
    text = await events(live(line(1, "run")), ends=time.time() + 0.2)
    assert '"code":"unauthorized"' in text
    assert text.endswith("data: [DONE]\n\n")


async def events(runs: Any, run: Any = RUNNING, after: int = 0, ends: float = NO_END) -> str:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await serve_events(runs, response, run, after, {}, ends)
        return response

    async with serving(handle) as client, client.get("/", timeout=aiohttp.ClientTimeout(30)) as response:
        return await response.text()


async def test_events_end_for_good_only_where_asking_again_brings_nothing() -> None:
    ended = FakeStore(
        a_run(RunState.COMPLETED, recorded=2, reason="completed"), [line(1, "run"), line(2, "process-exit")]
    )
    assert (await events(fake_runs(ended, FakeAgent()), ended.run)).endswith("data: [DONE]\n\n")
    away = FakeStore(RUNNING)
    away.away = StoreUnavailable("away")
    text = await events(fake_runs(away, FakeAgent()), a_run(RunState.QUEUED))
    assert '"code":"store-unavailable"' in text
    assert "[DONE]" not in text
    ahead = fake_runs(FakeStore(RUNNING), FakeAgent(CursorAhead("ahead")))
    text = await events(ahead, RUNNING, 9)
    assert '"code":"cursor-ahead"' in text
    assert text.endswith("data: [DONE]\n\n")


async def test_a_drain_tells_a_reader_of_events_its_cursor() -> None:
    class Said(FakeSocket):
        """Once it has nothing more to say the reader has got all of it, and the gateway begins to drain."""

        async def receive(self, seconds: float | None = None) -> Any:
            if not self._messages:
                runs.drained.set()
            return await super().receive(seconds)

    said = Said([line(1, "run"), line(2)], close_code=None)
    runs = fake_runs(FakeStore(RUNNING), FakeAgent(said))
    last = (await events(runs)).strip().split("\n\n")[-1]
    told = json.loads(last.removeprefix("data: "))
    assert (told["type"], told["run"], told["after"]) == ("reconnect", RUNNING.id, 2)


async def test_the_third_message_that_means_nothing_ends_the_connection() -> None:
    runs = live(line(1, "run"))
    async with serving(leg(runs, lambda one: one.serve(RUNNING, 0, {}))) as client:
        async with client.ws_connect("/") as socket:
            await socket.send_str("nonsense")
            await socket.send_bytes(b"\xff")
            await socket.send_json({"type": "pong"})
            await socket.send_json({"type": "unknown"})
            async with asyncio.timeout(30):
                said = [json.loads(message.data) async for message in socket]
        assert [frame["code"] for frame in said if frame["type"] == "error"] == ["bad-request"] * 3
        assert socket.close_code == 4400


async def test_a_flood_of_messages_ends_the_connection() -> None:
    runs = live(line(1, "run"))
    async with serving(leg(runs, lambda one: one.serve(RUNNING, 0, {}))) as client:
        async with client.ws_connect("/") as socket:
            with suppress(ConnectionError):
                for _ in range(100):
                    await socket.send_json({"type": "pong"})
            async with asyncio.timeout(30):
                async for _ in socket:
                    pass
        assert socket.close_code == 1008


async def test_during_a_run_a_long_message_is_too_long() -> None:
    runs = live(line(1, "run"))
    async with serving(leg(runs, lambda one: one.serve(RUNNING, 0, {}))) as client:
        async with client.ws_connect("/") as socket:
            while (await socket.receive_json(timeout=30)).get("seq") != 1:
                pass
            await socket.send_str("x" * (relay.SIGNAL_LIMIT + 1))
            async with asyncio.timeout(30):
                async for _ in socket:
                    pass
        assert socket.close_code == 1009


@asynccontextmanager
async def waking() -> AsyncIterator[tuple[Any, TestClient[Any, Any], list[str]]]:
    """Runs whose sandbox never wakes; a client of its relay; and what happens to those who wait for it."""
    runs, seen = live(), []

    async def nothing(_session: Any) -> None:
        pass

    async def ensure(_session: str) -> None:
        seen.append("asked")
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("given up")

    runs.places = SimpleNamespace(claim=nothing)
    runs.driver.ensure = ensure

    async def handle(request: web.Request) -> web.StreamResponse:
        socket = End(server=True, limit=1000, pace=Pace(), name="browser")
        response = Upgraded(None, socket)
        await response.prepare(request)
        try:
            with suppress(ConnectionError):
                await serve_relay(runs, socket, a_session())
        finally:
            seen.append("ended")
        return response

    async with serving(handle) as client:
        yield runs, client, seen


async def test_a_browser_that_leaves_while_its_sandbox_wakes_is_noticed() -> None:
    async with waking() as (_, client, seen):
        url = client.make_url("/")
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        await until(lambda: seen == ["asked"])
        writer.close()
        await until(lambda: seen == ["asked", "given up", "ended"], 5)


async def test_a_drain_sends_one_whose_sandbox_wakes_elsewhere() -> None:
    async with waking() as (runs, client, seen), client.ws_connect("/") as socket:
        await until(lambda: seen == ["asked"])
        runs.drained.set()
        await socket.receive(timeout=5)
        assert socket.close_code == 1001
        await until(lambda: seen == ["asked", "given up", "ended"], 5)
