"""The handlers of /api/sdk: the relay of other WebSockets, bad frames after the upgrade, and who may do what."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio

from container.protocol import MAX_PROMPT_CHARS, sandbox_token
from tests.gateway.stack import SECRET, Stack, assert_whole, read_all, read_until


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
    inside = await stack.http.ws_connect(f"{sandbox.url}/relay", headers={"Authorization": f"Bearer {token}"})
    await one.send_str("hello ☃")
    assert (await other.receive_str(timeout=10), await inside.receive_str(timeout=10)) == (
        "hello ☃",
        "hello ☃",
    )
    await inside.send_bytes(b"\x00\xff")
    assert (await one.receive_bytes(timeout=10), await other.receive_bytes(timeout=10)) == (b"\x00\xff",) * 2
    for socket in (one, other, inside):
        await socket.close()


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
    async with stack.connect(session, prompt="count to 60 every 4 ms") as socket:
        head = await read_until(socket, "text-delta", 3)
        await socket.send_str('{"type":"dance"}')
        await socket.send_bytes(b"\x00")
        frames = head + await read_all(socket)
    assert_whole(frames)
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
            assert (await read_until(socket, "run"))[-1]["seq"] == 1
            await socket.send_json({"type": "stop"})
            await read_all(socket)
    messages = (await stack.get(f"/api/sessions/{session}/messages"))["messages"]
    assert [message["content"] for message in messages if message["role"] == "user"] == [prompt] * 2
