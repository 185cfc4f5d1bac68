"""The fault proxy does what it says, or nothing that rests on it proves anything."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from tests.conftest import free_port
from tests.gateway.fault_proxy import FaultProxy, Faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def seen() -> list[bytes]:
    """What reached the upstream."""
    return []


@pytest.fixture
async def proxy(seen: list[bytes]) -> AsyncIterator[FaultProxy]:
    async def upstream(request: web.Request) -> web.Response:
        seen.append(await request.read())
        return web.Response(status=201, text=request.headers["X-Amz-Target"], headers={"x-amz-crc32": "7"})

    app = web.Application()
    app.router.add_post("/", upstream)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with FaultProxy(f"http://127.0.0.1:{runner.addresses[0][1]}", seed=1) as proxy:
            yield proxy
    finally:
        await runner.cleanup()


async def post(proxy: FaultProxy) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as client,
        client.post(proxy.url, data=b"{}", headers={"X-Amz-Target": "t"}) as answer,
    ):
        return answer.status, await answer.text()


async def test_requests_and_answers_pass_unchanged(proxy: FaultProxy, seen: list[bytes]) -> None:
    assert await post(proxy) == (201, "t")
    assert seen == [b"{}"]


@pytest.mark.parametrize(
    ("kind", "status", "code"), [("throttle", 400, "Throughput"), ("error", 500, "Internal")]
)
async def test_refusals_reach_nobody(
    proxy: FaultProxy, seen: list[bytes], kind: str, status: int, code: str
) -> None:
    proxy.faults = Faults(**{kind: 1})
    answer = await post(proxy)
    assert answer[0] == status
    assert code in answer[1]
    assert (seen, proxy.done) == ([], {kind: 1})


@pytest.mark.parametrize(("kind", "reached"), [("cut", []), ("lost", [b"{}"])])
async def test_broken_connections(
    proxy: FaultProxy, seen: list[bytes], kind: str, reached: list[bytes]
) -> None:
    proxy.faults = Faults(**{kind: 1})
    with pytest.raises(aiohttp.ClientError):
        await post(proxy)
    assert seen == reached


async def test_a_zombie_comes_after_its_connection_broke(proxy: FaultProxy, seen: list[bytes]) -> None:
    proxy.faults = Faults(zombie=1, hold_seconds=3600)
    with pytest.raises(aiohttp.ClientError):
        await post(proxy)
    assert seen == []
    proxy.release()
    await proxy.settle()
    assert seen == [b"{}"]


async def test_faults_are_switched_by_route(proxy: FaultProxy) -> None:
    async with aiohttp.ClientSession() as client:

        async def put(body: Any) -> tuple[int, Any]:
            async with client.put(f"{proxy.url}/_faults", json=body) as answer:
                return answer.status, await answer.json()

        status, shown = await put({"throttle": 0.5, "latency_ms": 20})
        assert (status, shown["faults"]["throttle"], shown["faults"]["lost"]) == (200, 0.5, 0)
        assert proxy.faults == Faults(throttle=0.5, latency_ms=20)
        bodies: list[Any] = [[], {"thrott": 1}, {"throttle": 2}, {"throttle": "1"}, {"latency_ms": -1}]
        for bad in bodies:
            assert (await put(bad))[0] == 400
        assert proxy.faults == Faults(throttle=0.5, latency_ms=20)


async def test_the_command_serves_until_it_is_told_to_stop() -> None:
    port = free_port()
    command = ("-m", "tests.gateway.fault_proxy", "--upstream", "http://127.0.0.1:1", "--port", str(port))
    process = await asyncio.create_subprocess_exec(sys.executable, *command)
    try:
        deadline = time.monotonic() + 45
        async with aiohttp.ClientSession() as client:
            while True:
                try:
                    async with client.get(f"http://127.0.0.1:{port}/_faults") as answer:
                        assert (await answer.json())["done"] == {}
                        break
                except aiohttp.ClientConnectionError:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.05)
            async with client.post(f"http://127.0.0.1:{port}/", data=b"{}") as answer:
                assert answer.status == 503
    finally:
        process.terminate()
    assert await process.wait() == 0
