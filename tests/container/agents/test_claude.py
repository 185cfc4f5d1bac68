"""The claude agent: the real SDK and its real binary, against the fake Messages API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from tests import fake_model_api
from tests.conftest import free_port
from tests.container.conftest import Sandbox, Start, eventually, text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
async def model() -> AsyncIterator[TestServer]:
    """The fake Messages API."""
    server = TestServer(fake_model_api.build_app())
    await server.start_server()
    yield server
    await server.close()


@pytest.fixture
async def claude(start: Start, model: TestServer, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox with the claude agent, connected."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", str(model.make_url("")))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "any")
    monkeypatch.delenv("CLAUDECODE", raising=False)
    sandbox = await start("claude")
    await eventually(lambda: sandbox.agent.state == "ready", 120)
    return sandbox


def types(frames: list[dict[str, Any]]) -> list[str]:
    found = [frame["type"] for frame in frames]
    return [kind for n, kind in enumerate(found) if n == 0 or not kind == found[n - 1] == "text-delta"]


def done(frames: list[dict[str, Any]]) -> dict[str, Any]:
    return next(frame for frame in frames if frame["type"] == "done")


async def test_it_streams_writes_a_file_and_keeps_its_session(claude: Sandbox, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    frames = await claude.ask(
        "r", f"Create a file called test.txt in {workspace} with 'Hello from WS streaming'"
    )
    assert types(frames) == [
        "run",
        "session-init",
        "text-delta",
        "tool-start",
        "tool-result",
        "text-delta",
        "done",
        "process-exit",
    ]
    assert (workspace / "test.txt").read_text() == "Hello from WS streaming"
    start = next(frame for frame in frames if frame["type"] == "tool-start")
    assert start["input"] == {"file_path": f"{workspace}/test.txt", "content": "Hello from WS streaming"}
    assert done(frames)["fullText"] == text(frames)
    assert frames[-1]["reason"] == "completed"

    long = await claude.ask("s", "Give me a detailed explanation", sdkSessionId=done(frames)["sessionId"])
    assert sum(frame["type"] == "text-delta" for frame in long) >= 100
    assert done(long)["sessionId"] == done(frames)["sessionId"]


async def test_stop_interrupts_and_the_next_prompt_is_answered(claude: Sandbox) -> None:
    await claude.put("r", "be slow")
    async with claude.connect("r"):
        await eventually(lambda: claude.runs.get("r").frames.last > 10)
        await (await claude.http.post("/runs/r/stop")).read()
        await eventually(lambda: claude.runs.get("r").is_final)
    frames, _ = await claude.read("r")
    assert text(frames).startswith("piece 0 ")
    assert frames[-3]["reason"] == "stopped"
    assert "error" not in types(frames)
    assert "You said: hello" in text(await claude.ask("s", "hello"))


async def test_a_transcript_that_is_gone_is_reset_and_a_restart_resumes(
    claude: Sandbox, model: TestServer
) -> None:
    gone = "11111111-1111-4111-8111-111111111111"
    frames = await claude.ask("r", "first words", sdkSessionId=gone)
    assert "session-reset" in types(frames)
    session = done(frames)["sessionId"]
    assert session != gone
    process = claude.agent.process
    assert process is not None
    await process.close()
    frames = await claude.ask("s", "second words", sdkSessionId=session)
    assert "session-reset" not in types(frames)
    assert done(frames)["sessionId"] == session
    asked = model.app[fake_model_api.REQUESTS][-1]
    assert "first words" in json.dumps(asked["messages"])


async def test_a_conversation_goes_on_in_another_folder(claude: Sandbox, tmp_path: Path) -> None:
    session = done(await claude.ask("r", "first words"))["sessionId"]
    (tmp_path / "workspace" / "sub").mkdir()
    for run, cwd in (("s", "sub"), ("t", "/workspace")):
        frames = await claude.ask(run, "further words", sdkSessionId=session, cwd=cwd)
        assert "session-reset" not in types(frames)
        assert done(frames)["sessionId"] == session


async def test_mode_model_and_a_refused_key(claude: Sandbox, model: TestServer, tmp_path: Path) -> None:
    frames = await claude.ask(
        "r",
        f"Create a file called no.txt in {tmp_path}/workspace with 'x'",
        mode="plan",
        model="claude-opus-5",
    )
    assert frames[-1]["reason"] == "completed"
    assert not (tmp_path / "workspace" / "no.txt").exists()
    assert model.app[fake_model_api.REQUESTS][-1]["model"] == "claude-opus-5"
    await claude.ask("s", f"Create a file called yes.txt in {tmp_path}/workspace with 'x'", mode="agent")
    assert (tmp_path / "workspace" / "yes.txt").exists()
    async with asyncio.timeout(60):
        frames = await claude.ask("t", "hello", env={"ANTHROPIC_API_KEY": "wrong-key"})
    error = next(frame for frame in frames if frame["type"] == "error")
    assert error["code"] == "model-key-refused"
    assert frames[-1]["reason"] == "failed"
    assert "You said: hello" in text(await claude.ask("u", "hello"))


async def test_a_model_that_cannot_be_reached_is_told(claude: Sandbox) -> None:
    frames = await claude.ask("r", "hello", env={"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{free_port()}"})
    error = next(frame for frame in frames if frame["type"] == "error")
    assert error["code"] == "model-unreachable"


async def browser(sandbox: Sandbox, port_ready: asyncio.Event) -> None:
    """An MCP server among the relay's peers, with one tool."""
    tool = {
        "name": "shout",
        "description": "shouts",
        "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}},
    }
    async with sandbox.http.ws_connect("/relay") as relay:
        port_ready.set()
        async for received in relay:
            message = json.loads(received.data)["message"]
            if "id" not in message:
                continue
            match message["method"]:
                case "initialize":
                    version = message["params"]["protocolVersion"]
                    answer: Any = {
                        "protocolVersion": version,
                        "capabilities": {"tools": {}},
                        "serverInfo": {"name": "b", "version": "1"},
                    }
                case "tools/list":
                    answer = {"tools": [tool]}
                case "tools/call":
                    answer = {
                        "content": [{"type": "text", "text": message["params"]["arguments"]["text"].upper()}]
                    }
                case _:
                    answer = {}
            wrapped = {"jsonrpc": "2.0", "id": message["id"], "result": answer}
            await relay.send_str(json.dumps({"type": "mcp", "server": "browser", "message": wrapped}))


async def test_an_mcp_server_in_the_browser_serves_the_agent(
    claude: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VF_PORT", str(claude.server.port))
    process = claude.agent.process
    assert process is not None
    await process.close()  # the next one has the variable
    await eventually(lambda: claude.agent.state == "ready", 120)
    ready = asyncio.Event()
    serving = asyncio.create_task(browser(claude, ready))
    await ready.wait()
    prompt = 'call the tool mcp__browser__shout with {"text": "hello"}'
    frames = await claude.ask("r", prompt, mcpServers={"browser": {"type": "relay"}})
    result = next(frame for frame in frames if frame["type"] == "tool-result")
    assert result["output"] == "HELLO"
    serving.cancel()
