"""What monitors are told: version, alive, ready; and that ready means that the store answers."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from container.protocol import VERSION
from gateway.ids import instance_of, new_id
from tests.gateway.stack import SECRET, Gateway, settings_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.gateway.stack import Stack


class Pipe:
    """A TCP proxy in front of DynamoDB Local; closed, it drops what is open and takes nothing new."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        self._target = (parts.hostname, parts.port)
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> str:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, onward = await asyncio.open_connection(*self._target)
        self._writers |= {writer, onward}
        await asyncio.gather(_copy(reader, onward), _copy(upstream, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def gateway_behind(pipe: Pipe, root: Path) -> AsyncIterator[Gateway]:
    settings = replace(settings_for(await pipe.open(), f"test-{new_id()}"), drain_seconds=1.0)
    gateway = Gateway(settings, root)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.close()


async def ask(stack: Stack, path: str, url: str = "") -> tuple[int, Any]:
    async with stack.http.get((url or stack.url) + path) as response:
        return response.status, await response.json()


async def test_the_version_is_the_one_of_the_protocol(stack: Stack) -> None:
    assert VERSION == "0.20.0"
    assert await ask(stack, "/api/version") == (200, {"version": VERSION})


async def test_alive_counts_every_prompt_once(stack: Stack) -> None:
    status, body = await ask(stack, "/api/health")
    assert (status, body["status"], body["version"]) == (200, "ok", VERSION)
    prompts = body["prompts"]
    assert prompts["received"] == prompts["run"] + prompts["queued"] + prompts["refused"] == 0


async def test_ready_until_it_drains(stack: Stack) -> None:
    assert await ask(stack, "/api/ready") == (
        200,
        {"status": "ready", "version": VERSION, "instance": instance_of(SECRET)},
    )
    await stack.gateways[0].runs.drain()
    status, body = await ask(stack, "/api/ready")
    assert (status, body["code"]) == (503, "draining")
    assert (await ask(stack, "/api/health"))[0] == 200


async def test_not_ready_while_the_store_is_away(
    stack: Stack, dynamodb_endpoint: str, tmp_path: Path
) -> None:
    pipe = Pipe(dynamodb_endpoint)
    async with gateway_behind(pipe, tmp_path / "other") as gateway:
        assert (await ask(stack, "/api/ready", gateway.url))[0] == 200
        await pipe.close()
        status, body = await ask(stack, "/api/ready", gateway.url)
        assert (status, body["code"]) == (503, "store-unavailable")
        assert (await ask(stack, "/api/health", gateway.url))[0] == 200
