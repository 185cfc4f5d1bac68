"""An agent's key at a real broker, from its sandbox's start to its end: gateways and sandboxes as processes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from container.listener.refusals import Limits
from container.listener.runner import Listener
from container.protocol import broker_token, sandbox_token
from gateway.broker.model_api import build_broker
from gateway.web.request.app_keys import CLIENT, DRIVER, STORE
from tests.gateway.stack import SECONDS, SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.gateway.stack import Stack


@pytest.fixture
async def broker(stack: Stack) -> AsyncIterator[str]:
    """The broker beside the stack's gateway; nobody has a key of the API, so it says 403 to whom it knows."""
    app = stack.gateways[0].app
    forward = build_broker(stack.settings, app[STORE], app[CLIENT], look=app[DRIVER].status)
    async with AsyncExitStack() as exit_stack:
        listener = Listener(forward, Limits())
        exit_stack.push_async_callback(listener.cleanup)
        await listener.setup()
        await web.TCPSite(listener, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{listener.addresses[0][1]}/v1/messages"


def environments(home: Path) -> list[dict[str, str]]:
    """Of all processes of the sandbox with this home."""
    found = []
    for process in Path("/proc").glob("[0-9]*/environ"):
        try:
            content = process.read_text(errors="replace")
        except OSError:
            continue
        told = dict(item.split("=", 1) for item in content.split("\0") if "=" in item)
        if told.get("HOME") == str(home):
            found.append(told)
    return found


async def agent_key(home: Path) -> str:
    """What the sandbox's agent has as its key. None of its processes but the agent server has the sandbox's token."""
    async with asyncio.timeout(SECONDS):
        while not (agents := [told for told in environments(home) if "VF_RELAY_TOKEN" in told]):
            await asyncio.sleep(0.05)
    assert all("VF_SANDBOX_TOKEN" not in told for told in agents)
    return agents[0]["ANTHROPIC_API_KEY"]


async def test_a_key_dies_with_its_start_and_the_next_one_has_another(stack: Stack, broker: str) -> None:
    async def status(key: str) -> int:
        async with stack.http.post(broker, json={"messages": []}, headers={"x-api-key": key}) as response:
            return response.status

    session = await stack.session()
    await stack.ask(session, "echo one")
    home, driver = stack.root / session / "home", stack.gateways[0].app[DRIVER]
    first = await agent_key(home)
    own = sandbox_token(SECRET.encode(), session)
    assert first == broker_token(own, session, (await driver.status(session)).start)
    assert (await status(first), await status(own)) == (403, 401)

    await driver.stop(session)
    async with asyncio.timeout(SECONDS):
        while await status(first) != 401:
            await asyncio.sleep(0.2)
    await stack.ask(session, "echo two")
    second = await agent_key(home)
    assert second != first
    async with asyncio.timeout(SECONDS):
        while (
            await status(second) != 403
        ):  # the key before was refused just now, and that counts for a second
            await asyncio.sleep(0.2)
    assert await status(first) == 401

    await driver.delete(session)
    async with asyncio.timeout(SECONDS):
        while await status(second) != 401:
            await asyncio.sleep(0.2)


async def test_a_sandbox_of_an_update_keeps_its_token_until_it_ends(stack: Stack, broker: str) -> None:
    gateway = stack.gateways[0]
    gateway.app[STORE].starts_named_since = 2.0**40  # type: ignore[misc]
    session = await stack.session()
    await stack.ask(session, "echo one")
    own = sandbox_token(SECRET.encode(), session)
    assert await agent_key(stack.root / session / "home") == own
    headers = {"x-api-key": own}
    async with stack.http.post(broker, json={"messages": []}, headers=headers) as response:
        assert response.status == 403
