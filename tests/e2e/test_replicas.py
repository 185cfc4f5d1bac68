"""What clients notice of a deployed stack's parts: of another number of gateways while one polls and another reads,
of an agent image that is gone; and what they are made of."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
import subprocess
import sys
from typing import TYPE_CHECKING

import aiohttp
import pytest

from gateway.web.request.auth import mint
from tests.conftest import ROOT
from tests.gateway.stack import SECRET, assert_whole, read_all, read_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.e2e.deployed import Deployed

pytestmark = [pytest.mark.docker, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

POLL_SECONDS = 0.05
LONG = "count to 200000 every 5 ms"


@contextlib.asynccontextmanager
async def polled(url: str) -> AsyncIterator[list[str]]:
    """The polls of a client that were not answered well, each on a connection of its own: by the proxy itself, and by
    a gateway behind it."""
    failed: list[str] = []

    async def poll(path: str, status: int) -> None:
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as http:
            while True:
                try:
                    async with http.get(f"{url}{path}") as answer:
                        if answer.status != status:
                            failed.append(f"{path}: {answer.status} {await answer.text()}")
                except aiohttp.ClientError as error:
                    failed.append(f"{path}: {error!r}")
                await asyncio.sleep(POLL_SECONDS)

    polling = asyncio.gather(poll("/proxy", 204), poll("/api/version", 200))
    try:
        yield failed
    finally:
        polling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await polling


def reader() -> aiohttp.ClientSession:
    """Somebody's connections."""
    token = mint(f"reader-{secrets.token_hex(4)}", 900, secret=SECRET)
    return aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"})


async def session_of(http: aiohttp.ClientSession, stack: Deployed) -> str:
    async with http.post(f"{stack.url}/api/sessions", json={"title": "read"}) as made:
        return str((await made.json())["id"])


async def test_more_and_fewer_gateways_leave_the_proxy_and_its_clients_alone(demo_stack: Deployed) -> None:
    def proxy() -> str | None:
        [container] = demo_stack.containers("vaporforge.role=proxy")
        return container.id

    def gateways() -> set[str | None]:
        return {container.id for container in demo_stack.containers("vaporforge.role=gateway")}

    before, first = proxy(), gateways()
    async with reader() as http:
        session = await session_of(http, demo_stack)
        query = {"sessionId": session, "prompt": LONG}
        async with http.ws_connect(f"{demo_stack.url}/api/sdk/ws", params=query) as socket:
            frames = await read_until(socket, "text-delta", 5)
            # All the while, as a browser does: who reads nothing is cut off in the end.
            reading = asyncio.create_task(read_all(socket))
            async with polled(demo_stack.url) as failed:
                await asyncio.to_thread(demo_stack.up, "--set", "gatewayReplicas=3")
                assert len(gateways()) == 3
                await asyncio.to_thread(demo_stack.up, "--set", "gatewayReplicas=")
            assert failed == []
            assert gateways() == first
            assert proxy() == before
            # The stream is the one that was opened, and is read to an end that its reader chose.
            asked = {"sessionId": session}
            async with http.post(f"{demo_stack.url}/api/sdk/stop", json=asked) as stopped:
                assert stopped.status < 300, await stopped.text()
            assert_whole(frames + await reading, "stopped")


@contextlib.contextmanager
def without_agent_image(stack: Deployed) -> Iterator[str]:
    """As after somebody's `docker image prune`: the image is there under another name alone. Gives the one it had."""
    images = stack.engine.images
    [image] = images.list(filters={"reference": f"{stack.id}/agent"})
    [name] = [tag for tag in image.tags if tag.startswith(f"{stack.id}/")]
    kept = f"kept-{stack.id}:1"
    assert image.tag(kept)
    try:
        images.remove(name, force=True)
        yield name
    finally:
        assert images.get(kept).tag(name)
        images.remove(kept)


async def test_an_agent_image_that_is_gone_is_told_at_once(demo_stack: Deployed) -> None:
    async with reader() as http:
        session = await session_of(http, demo_stack)
        query = {"sessionId": session, "prompt": "hello"}
        with without_agent_image(demo_stack) as image:
            async with http.ws_connect(f"{demo_stack.url}/api/sdk/ws", params=query) as socket:
                frames = await read_all(socket)
        # Who waits gets a `ping` after 20 s, and waiting helps nobody here.
        assert "ping" not in {frame["type"] for frame in frames}
        assert [frame["type"] for frame in frames if "seq" in frame] == ["run", "error", "process-exit"]
        assert_whole(frames, "failed")
        [error] = [frame for frame in frames if frame["type"] == "error"]
        assert error["code"] == "sandbox-unstartable"
        assert error["error"].startswith(
            f"The sandbox image {image} is not on the Docker engine; scripts/up builds it"
        )
        # And with the image back the session works.
        async with http.ws_connect(f"{demo_stack.url}/api/sdk/ws", params=query) as socket:
            assert_whole(await read_all(socket))


def test_the_bill_has_what_the_locks_ask_for_in_every_image(demo_stack: Deployed) -> None:
    argv = [sys.executable, "-m", "scripts.lib.sbom", "--stack", demo_stack.name]
    printed = subprocess.run(
        argv, cwd=ROOT, env=demo_stack.environ, capture_output=True, text=True, check=True, timeout=300
    )
    images = {part["name"]: part for part in json.loads(printed.stdout)["components"]}
    for image, lock in (("gateway", "gateway/requirements.txt"), ("agent", "container/requirements.txt")):
        found = {package["purl"] for package in images[f"vaporforge-{demo_stack.name}/{image}"]["components"]}
        locked = re.findall(r"^([a-z0-9._-]+)==([^ \\]+)([^\n]*)", (ROOT / lock).read_text(), re.MULTILINE)
        wanted = {f"pkg:pypi/{name}@{version}" for name, version, rest in locked if ";" not in rest}
        assert wanted, lock
        assert wanted <= found
        assert any(purl.startswith("pkg:deb/debian/tini@") for purl in found)
    proxy = images[f"vaporforge-{demo_stack.name}/proxy"]["components"]
    assert any(package["purl"].startswith("pkg:deb/debian/haproxy@") for package in proxy)
