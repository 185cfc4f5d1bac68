"""The pool of a deployed stack: sessions get containers that were there before them, and it is filled again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from container.protocol import POOL_PREFIX
from tests.e2e.deployed import Deployed, run_in
from tests.e2e.test_replicas import reader, session_of
from tests.gateway.stack import assert_whole, read_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    import aiohttp

pytestmark = [pytest.mark.docker, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

SECONDS = 180.0

ALWAYS_TWO = "Mon-Sun 00:00-24:00 Europe/Berlin 2"


@pytest.fixture(scope="module")
def pooled_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """One gateway with a pool from its table's beginning on: one that is new to a table gives nothing away at first.
    That nothing is left of it when it is taken down is asserted there."""
    stack = Deployed("demo", tmp_path_factory.mktemp("pool"))
    try:
        settings = ("poolSize=1", f"poolSchedule={ALWAYS_TWO}", "gatewayReplicas=1")
        stack.deploy(*(word for setting in settings for word in ("--set", setting)))
        yield stack
    finally:
        stack.destroy()


def members(stack: Deployed) -> dict[str, str]:
    """The ids of running containers that were started for the pool, claimed or not, by what they were started as."""
    found = {
        item.labels["vaporforge.session"]: str(item.id)
        for item in stack.containers("vaporforge.role=sandbox")
    }
    assert all(name.startswith(POOL_PREFIX) for name in found), found
    return found


async def filled(http: aiohttp.ClientSession, stack: Deployed, *, claimed: int) -> dict[str, str]:
    """The members, once health tells that two wait and so many were claimed."""
    told: dict[str, Any] = {}
    async with asyncio.timeout(SECONDS):
        while told != {"size": 2, "ready": 2, "claimed": claimed, "missed": 0}:
            await asyncio.sleep(0.1)
            async with http.get(f"{stack.url}/api/health") as answer:
                told = (await answer.json())["pool"]
    return members(stack)


async def written_by(http: aiohttp.ClientSession, stack: Deployed) -> str:
    """As what the container was started in which a new session's first prompt has written a file."""
    session = await session_of(http, stack)
    prompt = f"Create a file called {session}.txt in /workspace with 'hello'"
    query = {"sessionId": session, "prompt": prompt}
    async with http.ws_connect(f"{stack.url}/api/sdk/ws", params=query) as socket:
        assert_whole(await read_all(socket))
    [name] = [
        name for name in members(stack) if f"{session}.txt" in run_in(stack.sandbox(name), "ls", "/workspace")
    ]
    return name


async def test_sessions_get_containers_that_waited_for_them(pooled_stack: Deployed) -> None:
    async with reader() as http:
        first = await filled(http, pooled_stack, claimed=0)
        assert len(first) == 2
        one = await written_by(http, pooled_stack)
        assert one in first

        second = await filled(http, pooled_stack, claimed=1)
        assert len(second) == 3
        assert second.items() > first.items()
        other = await written_by(http, pooled_stack)
        assert other in second.keys() - {one}

        third = await filled(http, pooled_stack, claimed=2)
        assert len(third) == 4
        assert third.items() > second.items()
