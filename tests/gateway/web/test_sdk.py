"""The handlers of /api/sdk: the relay of other WebSockets, bad frames after the upgrade, and who may do what."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio

from container.protocol import MAX_PROMPT_CHARS, sandbox_token
from gateway.errors import SandboxUnavailable
from gateway.model import Mode, NewRun, OnBusy, Run, RunState
from gateway.web.request.auth import mint
from tests.gateway.stack import ENDLESS, SECONDS, SECRET, Stack, assert_whole, read_all, read_until
from tests.gateway.store.store_samples import frames

Scan = Callable[[], list[dict[str, Any]]]
Patch = pytest.MonkeyPatch


@pytest_asyncio.fixture(loop_scope="function")
async def stack(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(dynamodb_endpoint, f"t{uuid4().hex}", tmp_path) as stack:
        yield stack


async def test_other_websockets_meet_in_the_sessions_relay(stack: Stack) -> None:
    await stack.add()
    session = await stack.session()
    query = {"sessionId": session}
    one = await stack.http.ws_connect(f"{stack.url}/mcp/relay", params=query, headers=stack.headers())
    other = await stack.http.ws_connect(f"{stack.gateways[1].url}/any", params=query, headers=stack.headers())
    sandbox = await stack.gateways[0].runs.driver.ensure(session)
    token = sandbox_token(SECRET.encode(), session)
    bearer = {"Authorization": f"Bearer {token}"}
    inside = await stack.http.ws_connect(f"{sandbox.url}/relay", headers=bearer)
    joined = 0
    async with asyncio.timeout(SECONDS):
        while joined < 3:  # who is not there yet gets nothing
            async with stack.http.get(f"{sandbox.url}/ping", headers=bearer) as response:
                joined = (await response.json())["connections"]
    await one.send_str("hello ☃")
    assert (await other.receive_str(timeout=SECONDS), await inside.receive_str(timeout=SECONDS)) == (
        "hello ☃",
        "hello ☃",
    )
    await inside.send_bytes(b"\x00\xff")
    assert (await one.receive_bytes(timeout=SECONDS), await other.receive_bytes(timeout=SECONDS)) == (
        b"\x00\xff",
    ) * 2
    for socket in (one, other, inside):
        await socket.close()


async def test_a_token_s_end_ends_the_relay_and_a_socket_that_came_in_with_its_ticket(stack: Stack) -> None:
    session = await stack.session()
    leeway = stack.settings.token_leeway_seconds
    bearer = {"Authorization": f"Bearer {mint('ada', 3 - leeway, secret=SECRET)}"}
    body = {"sessionId": session}
    async with stack.http.post(f"{stack.url}/api/sdk/ticket", json=body, headers=bearer) as response:
        ticket = (await response.json())["ticket"]
    relay = await stack.http.ws_connect(f"{stack.url}/mcp/relay?sessionId={session}", headers=bearer)
    socket = await stack.http.ws_connect(f"{stack.url}/api/sdk/ws?sessionId={session}&ticket={ticket}")
    while (await relay.receive(timeout=SECONDS)).type is aiohttp.WSMsgType.TEXT:
        pass
    frames = await read_all(socket)
    assert (relay.close_code, socket.close_code, frames[-1]["code"]) == (4401, 4401, "unauthorized")


async def test_no_proxy_may_hold_events_back_to_compress_them(stack: Stack) -> None:
    body = {"sessionId": await stack.session(), "prompt": "Echo hello"}
    url = f"{stack.url}/api/sdk/stream"
    async with stack.http.post(url, json=body, headers=stack.headers()) as response:
        directives = {part.strip() for part in response.headers["Cache-Control"].split(",")}
        assert {"no-cache", "no-transform"} <= directives
        assert response.headers["X-Accel-Buffering"] == "no"
        assert "Content-Encoding" not in response.headers
        assert (await response.text()).endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("message", "code", "close"),
    [
        ("nonsense", "bad-request", 4400),
        ("[]", "bad-request", 4400),
        ('{"type":"stop"}', "bad-request", 4400),
        ('{"type":"start"}', "bad-request", 4400),
        ('{"type":"start","prompt":""}', "bad-request", 4400),
        ('{"type":"start","prompt":7}', "bad-request", 4400),
        ('{"type":"start","prompt":"x","mode":"fly"}', "bad-request", 4400),
        ('{"type":"start","prompt":"x","cwd":"/etc"}', "bad-request", 4400),
        ('{"type":"start","prompt":"x","onBusy":"panic"}', "bad-request", 4400),
        (json.dumps({"type": "start", "prompt": "x" * (MAX_PROMPT_CHARS + 1)}), "bad-request", 4400),
    ],
)
async def test_a_bad_first_frame_is_an_error_and_starts_nothing(
    stack: Stack, message: str, code: str, close: int
) -> None:
    session = await stack.session()
    async with stack.connect(session) as socket:
        await socket.send_str(message)
        frames = await read_all(socket)
    assert [frame["code"] for frame in frames if frame["type"] == "error"] == [code]
    assert socket.close_code == close
    assert (await stack.get(f"/api/sessions/{session}/messages"))["messages"] == []


async def test_a_bad_frame_in_mid_run_is_an_error_and_the_run_goes_on(stack: Stack) -> None:
    session = await stack.session()
    async with stack.connect(session, prompt=ENDLESS) as socket:
        frames = await read_until(socket, "text-delta", 3)
        await socket.send_str('{"type":"dance"}')
        await socket.send_bytes(b"\x00")
        frames += await read_until(socket, "error", 2)
        frames += await read_until(socket, "text-delta", 3)
        await socket.send_json({"type": "stop"})
        frames += await read_all(socket)
    assert_whole(frames, "stopped")
    assert [frame["code"] for frame in frames if frame["type"] == "error"] == ["bad-request"] * 2


@pytest.mark.parametrize(
    ("user", "query", "status", "code"),
    [
        ("eve", {}, 403, "not-owner"),
        ("ada", {"sessionId": "nobody"}, 404, "session-not-found"),
        ("ada", {"sessionId": "../x"}, 400, "bad-request"),
        ("ada", {"prompt": ""}, 400, "bad-request"),
        ("ada", {"run": "nobody"}, 404, "run-not-found"),
    ],
)
async def test_refusals_come_before_the_upgrade(
    stack: Stack, user: str, query: dict[str, Any], status: int, code: str
) -> None:
    session = await stack.session()
    for path in ("/api/sdk/ws", "/relay") if user == "eve" else ("/api/sdk/ws",):
        params = {"sessionId": session, "prompt": "echo x", **query}
        if "run" in query:
            del params["prompt"]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await stack.http.ws_connect(f"{stack.url}{path}", params=params, headers=stack.headers(user))
        assert refused.value.status == status
    async with stack.http.get(
        f"{stack.url}/api/sessions/{session}/messages", headers=stack.headers()
    ) as response:
        assert (await response.json())["messages"] == []
    assert list(await stack.gateways[0].runs.driver.list()) == []


async def test_a_full_prompt_fits_in_the_url_and_in_a_frame(stack: Stack) -> None:
    session = await stack.session()
    prompt = "echo " + "ü" * (MAX_PROMPT_CHARS - 5)
    queries: tuple[dict[str, Any], ...] = ({"prompt": prompt, "mode": "agent"}, {})
    for query in queries:
        async with stack.connect(session, **query, batch=1) as socket:
            if not query:
                await socket.send_json({"type": "start", "prompt": prompt})
            assert "run" in [frame["type"] for frame in await read_until(socket, "run")]
            await socket.send_json({"type": "stop"})
            await read_all(socket)
    messages = (await stack.get(f"/api/sessions/{session}/messages"))["messages"]
    assert [message["content"] for message in messages if message["role"] == "user"] == [prompt] * 2


async def test_what_nobody_thought_of_ends_a_connection_with_an_error_frame(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session = await stack.session()

    async def break_down(*_: Any) -> None:
        raise RuntimeError("the roof fell in")

    monkeypatch.setattr(stack.gateways[0].runs, "submit", break_down)
    async with stack.connect(session) as socket:
        await socket.send_json({"type": "start", "prompt": "echo x"})
        frames = await read_all(socket)
    assert (frames[-1]["type"], frames[-1]["code"], socket.close_code) == ("error", "internal", 1011)
    assert "roof" not in frames[-1]["error"]
    assert "the roof fell in" in caplog.text


class TestRefusals:
    """Refused is refused: the table stays as it is."""

    @pytest.fixture
    async def run(self, stack: Stack) -> Run:
        """A run that is on in a session of ada's, recorded by nobody here; its sandbox is dead."""
        session = await stack.session()
        store = stack.gateways[0].runs.store
        new = NewRun(
            id="r1",
            session=session,
            owner="ada",
            message="m1",
            prompt="hi",
            mode=Mode.AGENT,
            cwd="/workspace",
            created_at=time.time(),
        )
        admission = await store.create_run(
            new, on_busy=OnBusy.QUEUE, queue_limit=8, gateway="test", lease_seconds=600
        )
        running = await store.mark_running(admission.run)
        assert running is not None
        return running

    async def ended(self, stack: Stack, run: Run) -> None:
        """End it, with two frames."""
        store = stack.gateways[0].runs.store
        last = await store.append_frames(run, first=1, last=2, frames=frames(run.id, 1, 2))
        assert last is not None
        await store.finish_run(
            last, state=RunState.STOPPED, reason="stopped", message=None, gateway="test", lease_seconds=1
        )

    async def test_a_full_queue(self, stack: Stack, scan: Scan, run: Run, monkeypatch: Patch) -> None:
        runs = stack.gateways[0].runs
        monkeypatch.setattr(runs, "settings", replace(runs.settings, queue_limit=0))
        monkeypatch.setattr(runs, "warm", lambda _: None)
        before = await asyncio.to_thread(scan)
        status, body = await stack.post("/api/sdk/stream", {"sessionId": run.session, "prompt": "x"})
        assert (status, body["code"]) == (429, "queue-full")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await stack.connect(run.session, prompt="x")
        assert refused.value.status == 429
        async with stack.connect(run.session) as socket:
            await socket.send_json({"type": "start", "prompt": "x"})
            assert (await read_all(socket))[-1]["code"] == "queue-full"
        assert socket.close_code == 4409
        assert await asyncio.to_thread(scan) == before

    async def test_a_session_that_is_deleted_meanwhile(self, stack: Stack, scan: Scan) -> None:
        session = await stack.session()
        async with stack.connect(session) as socket:
            await stack.gateways[0].runs.store.begin_delete(session)
            before = await asyncio.to_thread(scan)
            await socket.send_json({"type": "start", "prompt": "x"})
            assert (await read_all(socket))[-1]["code"] == "session-gone"
        assert socket.close_code == 4410
        assert await asyncio.to_thread(scan) == before

    @pytest.mark.parametrize("cursor", ["r1", "r1:", ":1", "r1:x", "r1:-1", "a b:1", "r1:99999999999999999"])
    async def test_a_malformed_last_event_id(self, stack: Stack, scan: Scan, run: Run, cursor: str) -> None:
        before = await asyncio.to_thread(scan)
        async with stack.http.post(
            f"{stack.url}/api/sdk/stream",
            json={"sessionId": run.session},
            headers={**stack.headers(), "Last-Event-ID": cursor},
        ) as response:
            assert (response.status, (await response.json())["code"]) == (400, "bad-request")
        assert await asyncio.to_thread(scan) == before

    @pytest.mark.parametrize("action", ["stop", "pause", "resume"])
    @pytest.mark.parametrize(
        ("named", "status", "code"),
        [("a b", 400, "bad-request"), (7, 400, "bad-request"), ("nobody", 404, "run-not-found")],
    )
    async def test_a_bad_run(
        self, stack: Stack, scan: Scan, run: Run, action: str, named: Any, status: int, code: str
    ) -> None:
        before = await asyncio.to_thread(scan)
        answer = await stack.post(f"/api/sdk/{action}", {"sessionId": run.session, "run": named})
        assert (answer[0], answer[1]["code"]) == (status, code)
        assert await asyncio.to_thread(scan) == before

    async def test_a_cursor_past_the_end_of_an_ended_run(self, stack: Stack, scan: Scan, run: Run) -> None:
        await self.ended(stack, run)
        before = await asyncio.to_thread(scan)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await stack.connect(run.session, run=run.id, after=3)
        assert refused.value.status == 416
        async with stack.http.post(
            f"{stack.url}/api/sdk/stream",
            json={"sessionId": run.session},
            headers={**stack.headers(), "Last-Event-ID": f"{run.id}:3"},
        ) as response:
            assert (response.status, (await response.json())["code"]) == (416, "cursor-ahead")
        assert await asyncio.to_thread(scan) == before

    async def test_a_dead_sandbox(self, stack: Stack, scan: Scan, run: Run, monkeypatch: Patch) -> None:
        before = await asyncio.to_thread(scan)
        for action in ("pause", "resume"):
            status, body = await stack.post(f"/api/sdk/{action}", {"sessionId": run.session})
            assert (status, body["code"]) == (503, "sandbox-unavailable")

        async def dead(_session: str) -> None:
            raise SandboxUnavailable("it cannot be started")

        monkeypatch.setattr(stack.gateways[0].runs.driver, "ensure", dead)
        async with stack.http.ws_connect(
            f"{stack.url}/relay", params={"sessionId": run.session}, headers=stack.headers()
        ) as socket:
            await socket.receive(timeout=SECONDS)
        assert socket.close_code == 1013
        assert await asyncio.to_thread(scan) == before
        # Stopping is a wish that waits for its recorder: no more than that changes.
        status, body = await stack.post("/api/sdk/stop", {"sessionId": run.session})
        assert (status, body["run"], body["state"]) == (200, run.id, "running")
        known = await stack.gateways[0].runs.store.get_run(run.session, run.id)
        assert known == replace(run, stop_requested=True)


async def test_a_cursor_past_what_a_live_run_has_is_told_on_the_connection(stack: Stack) -> None:
    session = await stack.session()
    async with stack.connect(session, prompt=ENDLESS) as live:
        run = (await read_until(live, "text-delta"))[-1]["run"]
        async with stack.connect(session, run=run, after=99_999) as socket:
            assert (await read_all(socket))[-1]["code"] == "cursor-ahead"
        assert socket.close_code == 4416
        async with stack.http.post(
            f"{stack.url}/api/sdk/stream",
            json={"sessionId": session},
            headers={**stack.headers(), "Last-Event-ID": f"{run}:99999"},
        ) as response:
            assert '"code":"cursor-ahead"' in await response.text()
        await live.send_json({"type": "stop"})
        await read_all(live)
    assert await stack.final(session, run) == "stopped"


async def test_an_empty_last_event_id_is_as_none_and_a_reader_that_has_it_all_is_told_the_end(
    stack: Stack,
) -> None:
    session = await stack.session()
    async with stack.http.post(
        f"{stack.url}/api/sdk/stream",
        json={"sessionId": session, "prompt": "echo x"},
        headers={**stack.headers(), "Last-Event-ID": ""},
    ) as response:
        assert response.status == 200
        text = await response.text()
    assert text.endswith("data: [DONE]\n\n")
    run, _, last = re.findall(r"id: (\S+)\n", text)[-1].rpartition(":")
    await stack.final(session, run)
    async with stack.connect(session, run=run, after=last) as socket:
        told = (await read_all(socket))[-1]
    assert (told["type"], told["reason"], "seq" in told) == ("process-exit", "completed", False)
    assert socket.close_code == 1000
