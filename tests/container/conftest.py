"""A sandbox's agent server in this process, on a real socket, with a real agent process under it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from container.settings import Settings
from container.web.app import build_app
from container.web.app_keys import AGENT, CONNECTIONS, RUNS

AGENT_SCRIPT = Path(__file__).parent / "programmable_agent.py"
KEPT = f"{sys.executable} {AGENT_SCRIPT} --kept"
ONE_SHOT = f"{sys.executable} {AGENT_SCRIPT}"
TOKEN = "the-token"
DEADLINE = 50.0
"""Seconds for what must come, on a busy machine too."""


async def eventually(condition: Callable[[], bool | Awaitable[bool]], seconds: float = DEADLINE) -> None:
    """Return once `condition` holds. Raises TimeoutError when it does not in time."""
    pause = 0.005
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.2)


class Sandbox:
    """An agent server under test and a client for it."""

    def __init__(self, app: web.Application, server: TestServer, http: aiohttp.ClientSession) -> None:
        self.app, self.server, self.http = app, server, http
        self.agent, self.runs = app[AGENT], app[RUNS]

    async def put(self, run: str, prompt: str, **query: Any) -> None:
        async with self.http.put(f"/pending/{run}", json={"prompt": prompt, **query}) as response:
            assert response.status == 204, await response.text()

    def connect(self, run: str, after: int = 0, **query: str) -> Any:
        return self.http.ws_connect("/ws", params={"run": run, "after": str(after), **query})

    async def read(self, run: str, after: int = 0, **query: str) -> tuple[list[dict[str, Any]], int | None]:
        """Every frame up to the end of the connection, and the close code."""
        async with asyncio.timeout(DEADLINE), self.connect(run, after, **query) as ws:
            frames = [json.loads(line) async for message in ws for line in message.data.split("\n")]
            return frames, ws.close_code

    async def ask(self, run: str, prompt: str, **query: Any) -> list[dict[str, Any]]:
        """Have a prompt answered; the recorded frames."""
        await self.put(run, prompt, **query)
        frames, close_code = await self.read(run)
        assert close_code == 1000
        return recorded(frames)

    def ping_connections(self) -> int:
        """How many WebSockets are open, read at the source."""
        return len(self.app[CONNECTIONS].open)

    async def ping(self) -> dict[str, Any]:
        async with self.http.get("/ping") as response:
            answer: dict[str, Any] = await response.json()
            return answer


def recorded(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of a run, without those of the connection."""
    return [frame for frame in frames if "seq" in frame]


def text(frames: list[dict[str, Any]]) -> str:
    """What the answer says."""
    return "".join(frame["text"] for frame in frames if frame["type"] == "text-delta")


def settings_in(folder: Path, agent: str = KEPT, **changes: str) -> Settings:
    """Settings for a sandbox whose whole state lies in `folder`."""
    for name in ("workspace", "home"):
        (folder / name).mkdir(exist_ok=True)
    return Settings.from_env(
        {
            "VF_SANDBOX_TOKEN": TOKEN,
            "VF_SESSION": "session-1",
            "VF_AGENT": agent,
            "VF_HOST": "127.0.0.1",
            "VF_PORT": "0",
            "VF_WORKSPACE": str(folder / "workspace"),
            "VF_HOME": str(folder / "home"),
            "VF_PENDING_DIR": str(folder / "pending"),
            "VF_SEED_PENDING_PATH": str(folder / "seed-query.json"),
            **changes,
        }
    )


Start = Callable[..., Awaitable[Sandbox]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start a sandbox: `await start()`, `await start(agent=ONE_SHOT, VF_LOST_REASON="oom")`; ended with the test."""
    async with AsyncExitStack() as stack:

        async def start_one(agent: str = KEPT, **changes: str) -> Sandbox:
            app = build_app(settings_in(tmp_path, agent, **changes))
            server = TestServer(app)
            await server.start_server()
            stack.push_async_callback(server.close)
            http = aiohttp.ClientSession(server.make_url("/"), headers={"Authorization": f"Bearer {TOKEN}"})
            await stack.enter_async_context(http)
            return Sandbox(app, server, http)

        yield start_one


@pytest.fixture
async def sandbox(start: Start) -> Sandbox:
    """A sandbox with the kept programmable agent."""
    return await start()
