"""Whole gateways for tests: real sockets, DynamoDB Local, sandboxes as processes with the demo agent."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from aiohttp import web

from container.protocol import sandbox_token
from gateway.app import build_app
from gateway.config import Settings
from gateway.sandboxes.drivers import SandboxState
from gateway.sandboxes.drivers.process import ProcessDriver
from gateway.serve import public_listener
from gateway.store.blobs.factory import make_blobs
from gateway.store.dynamo import DynamoStore
from gateway.web.request.app_keys import RUNS, SNAPSHOTS
from gateway.web.request.auth import mint

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from gateway.runs.service import RunService
from gateway.sandboxes.reaper import Reaper

SECRET = "x" * 48

SECONDS = 60.0
"""How long a test waits for what must come, on a busy machine too."""

ENDLESS = "count to 999999 every 20 ms"
"""A prompt whose answer is on until it is stopped, however long the test takes."""


def settings_for(endpoint: str, table: str, **changes: Any) -> Settings:
    """Settings of a gateway on DynamoDB Local with short leases."""
    base = Settings(
        stack="test",
        jwt_secret=SECRET,
        sandbox_secret=SECRET,
        credential_key=SECRET,
        host="127.0.0.1",
        port=0,
        broker_port=0,
        table=table,
        table_create=True,
        dynamodb_endpoint=endpoint,
        driver="process",
        lease_seconds=1.5,
    )
    return replace(base, **changes)


class Gateway:
    """One gateway in this process, on a port of its own."""

    def __init__(self, settings: Settings, root: Path) -> None:
        self.settings = settings
        self.app = build_app(
            settings,
            store=DynamoStore(settings),
            driver=ProcessDriver(settings, root),
            blobs=make_blobs(settings),
        )
        self._runner: web.AppRunner = public_listener(settings, self.app)
        self.url = ""

    @property
    def runs(self) -> RunService:
        return self.app[RUNS]

    def reaper(self, *, idle: float = 0) -> Reaper:
        """A reaper of this gateway, to be told when to look."""
        runs = self.runs
        return Reaper(
            runs.driver,
            runs.store,
            runs.agent,
            self.app[SNAPSHOTS],
            idle=idle,
            background=self.settings.background_minutes * 60 if idle else 0,
        )

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        await self._runner.cleanup()

    def crash(self) -> None:
        """Stop everything this gateway does for runs as a SIGKILL would: no flush, no lease given back."""
        runs = self.runs
        for task in [*runs._background, *runs._tasks.values(), *runs._warming.values()]:
            task.cancel()
        for recorder in runs.recorders.values():
            recorder.hand_over = _nothing  # type: ignore[method-assign]


async def _nothing() -> None:
    return None


class Stack:
    """Gateways that share a table and the sandboxes under one folder; everything is stopped at the end."""

    def __init__(self, endpoint: str, table: str, root: Path, **changes: Any) -> None:
        self.settings = settings_for(endpoint, table, **changes)
        self.root = root
        self.gateways: list[Gateway] = []
        self._exit = AsyncExitStack()
        self.http: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self.http = await self._exit.enter_async_context(aiohttp.ClientSession())
        await self.add()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        driver = ProcessDriver(self.settings, self.root)
        for gateway in self.gateways:
            await gateway.close()
        for sandbox in await driver.list():
            await driver.delete(sandbox.session)
        await driver.close()
        await self._exit.aclose()

    async def add(self) -> Gateway:
        return await self.start(self.settings)

    async def start(self, settings: Settings) -> Gateway:
        gateway = Gateway(settings, self.root)
        await gateway.start()
        self.gateways.append(gateway)
        return gateway

    @property
    def url(self) -> str:
        return self.gateways[0].url

    def headers(self, user: str = "ada") -> dict[str, str]:
        return {"Authorization": f"Bearer {mint(user, 600, secret=SECRET)}"}

    async def session(self, user: str = "ada") -> str:
        async with self.http.post(
            f"{self.url}/api/sessions", json={}, headers=self.headers(user)
        ) as response:
            assert response.status == 201, await response.text()
            return str((await response.json())["id"])

    def connect(
        self, session: str, *, gateway: int = 0, user: str = "ada", **query: Any
    ) -> aiohttp.client._WSRequestContextManager:
        """A WebSocket to /api/sdk/ws, as a client with the token in the header."""
        params = {"sessionId": session, **{key: str(value) for key, value in query.items()}}
        url = f"{self.gateways[gateway].url}/api/sdk/ws"
        return self.http.ws_connect(url, params=params, headers=self.headers(user), max_msg_size=0)

    async def ask(self, session: str, prompt: str, *, gateway: int = 0, **query: Any) -> list[dict[str, Any]]:
        """Send a prompt and read every frame up to the end of the connection."""
        async with self.connect(session, gateway=gateway, prompt=prompt, **query) as socket:
            return await read_all(socket)

    async def get(self, path: str, user: str = "ada", gateway: int = 0) -> Any:
        async with self.http.get(self.gateways[gateway].url + path, headers=self.headers(user)) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def post(self, path: str, body: Any, user: str = "ada", gateway: int = 0) -> tuple[int, Any]:
        url = self.gateways[gateway].url + path
        async with self.http.post(url, json=body, headers=self.headers(user)) as response:
            return response.status, await response.json()

    async def quiet(self, session: str) -> None:
        """Wait until the session's sandbox does nothing and nobody is connected. Its recorder leaves it a moment after
        a reader has seen the end; until then it refuses to be snapshotted and to retire."""
        sandbox = await self.gateways[0].runs.driver.status(session)
        if sandbox.state is not SandboxState.RUNNING:
            return
        headers = {"Authorization": f"Bearer {sandbox_token(SECRET.encode(), session)}"}
        async with asyncio.timeout(SECONDS):
            while True:
                async with self.http.get(f"{sandbox.url}/ping", headers=headers) as response:
                    told = await response.json()
                # Asked for a longer idleness than there is it takes none, and says why.
                asked = f"{sandbox.url}/snapshot?idle=1000000"
                async with self.http.get(asked, headers=headers) as response:
                    taking = "being taken" in await response.text()
                if not (told["connections"] or told["activeRun"] or taking):
                    return
                await asyncio.sleep(0.02)

    async def final(self, session: str, run: str, seconds: float = SECONDS) -> str:
        """Wait for a run's final state in the store."""
        store = self.gateways[-1].runs.store
        async with asyncio.timeout(seconds):
            while not (known := await store.get_run(session, run)).state.final:
                await asyncio.sleep(0.05)
        return known.state


async def read_all(socket: aiohttp.ClientWebSocketResponse[Any]) -> list[dict[str, Any]]:
    """Every frame up to the connection's end."""
    frames: list[dict[str, Any]] = []
    async for message in socket:
        frames.extend(json.loads(line) for line in message.data.split("\n"))
    return frames


async def read_until(
    socket: aiohttp.ClientWebSocketResponse[Any], kind: str, count: int = 1
) -> list[dict[str, Any]]:
    """Frames up to and with the `count`-th of a type."""
    frames: list[dict[str, Any]] = []
    while count > 0:
        message = await socket.receive(SECONDS)
        assert message.type is aiohttp.WSMsgType.TEXT, (message, frames[-3:])
        for line in message.data.split("\n"):
            frames.append(json.loads(line))
            count -= frames[-1]["type"] == kind
    return frames


def numbered(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that belong to the run."""
    return [frame for frame in frames if "seq" in frame]


def text_of(frames: list[dict[str, Any]]) -> str:
    """The text that was streamed."""
    return "".join(frame["text"] for frame in frames if frame["type"] == "text-delta")


def assert_whole(frames: list[dict[str, Any]], reason: str = "completed") -> None:
    """Each frame once, in order, from the first to `process-exit`."""
    run = numbered(frames)
    assert [frame["seq"] for frame in run] == list(range(1, len(run) + 1))
    assert run[0]["type"] == "run"
    assert run[-1]["type"] == "process-exit"
    assert run[-1]["reason"] == reason
