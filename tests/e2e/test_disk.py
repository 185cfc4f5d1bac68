"""What sandboxes of a deployed stack write: who fills the disk is ended and told so, cleans up and goes on; a
neighbour's stream notices nothing."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.deployed import Deployed, run_in
from tests.e2e.test_replicas import reader, session_of
from tests.gateway.stack import ENDLESS, assert_whole, read_all, read_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import aiohttp

pytestmark = [pytest.mark.docker, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

QUOTA_MB = 200

AGENT = "10001"
"""The uid that the agent and all that it starts has."""

SECONDS = 60.0

FILLER = "f = open('/workspace/big', 'wb', 0)\nfor _ in range(1800): f.write(bytes(1 << 20))"
"""As fast as the disk takes it, and at most 1.8 GB."""

SPARSE = "open('/workspace/sparse', 'wb').truncate(4 << 40)"

MANY = "import os\nfor n in range(20_000): os.close(os.open('/home/agent/%d' % n, os.O_CREAT))"

SIZE = "import os; print(sum(f.stat().st_blocks for f in os.scandir('/workspace')) * 512 >> 20)"

GAP_SECONDS = 5.0
"""A stream of a frame every 20 ms on a machine whose disk somebody fills: a limit against a stall, and no measure."""


@pytest.fixture(scope="module")
def small_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """Two gateways, and sessions that may have little."""
    stack = Deployed("demo", tmp_path_factory.mktemp("disk"))
    try:
        stack.deploy("--set", f"sandboxDiskMb={QUOTA_MB}", "--set", "sandboxInodes=3000")
        yield stack
    finally:
        stack.destroy()


async def start(stack: Deployed, session: str, program: str) -> None:
    """Have a program run in a session's sandbox, and leave it."""
    await asyncio.to_thread(
        stack.sandbox(session).exec_run, ["python3", "-c", program], detach=True, user=AGENT
    )


@asynccontextmanager
async def neighbour(http: aiohttp.ClientSession, stack: Deployed) -> AsyncIterator[None]:
    """Somebody whose answer comes meanwhile: whole, and without a stall."""
    session = await session_of(http, stack)
    query = {"sessionId": session, "prompt": "count to 600 every 20 ms"}
    gaps: list[float] = []
    async with http.ws_connect(f"{stack.url}/api/sdk/ws", params=query) as socket:
        frames = await read_until(socket, "text-delta")

        async def read() -> None:
            last = time.monotonic()
            async for message in socket:
                now = time.monotonic()
                gaps.append(now - last)
                last = now
                frames.append(message.json())

        reading = asyncio.create_task(read())
        yield
        async with asyncio.timeout(SECONDS):
            await reading
    assert_whole(frames)
    assert frames[-1]["reason"] == "completed"
    assert max(gaps) < GAP_SECONDS


async def ended_by(
    http: aiohttp.ClientSession, stack: Deployed, session: str, program: str
) -> list[dict[str, Any]]:
    """The last three frames of a run under which a program ran in its sandbox."""
    query = {"sessionId": session, "prompt": ENDLESS}
    async with http.ws_connect(f"{stack.url}/api/sdk/ws", params=query) as socket:
        await read_until(socket, "text-delta")
        await start(stack, session, program)
        async with asyncio.timeout(SECONDS):
            frames = await read_all(socket)
    return [frame for frame in frames if "seq" in frame][-3:]


async def answered(http: aiohttp.ClientSession, stack: Deployed, session: str) -> None:
    query = {"sessionId": session, "prompt": "count to 5"}
    async with http.ws_connect(f"{stack.url}/api/sdk/ws", params=query) as socket:
        frames = await read_all(socket)
    assert frames[-1]["reason"] == "completed", frames


def told(frames: list[dict[str, Any]]) -> list[Any]:
    error, lost, end = frames
    return [error["type"], error["code"], lost["type"], lost["reason"], end["type"], end["reason"]]


QUOTA = ["error", "disk-quota", "sandbox-lost", "disk-quota", "process-exit", "lost"]


async def test_a_filler_is_ended_cleans_up_and_goes_on(small_stack: Deployed) -> None:
    async with reader() as http:
        session = await session_of(http, small_stack)
        async with neighbour(http, small_stack):
            frames = await ended_by(http, small_stack, session, f"{SPARSE}\n{FILLER}")
        assert told(frames) == QUOTA
        assert "deleted" in frames[0]["error"]
        await answered(http, small_stack, session)
        written = int(run_in(small_stack.sandbox(session), "python3", "-c", SIZE, user=AGENT))
        assert QUOTA_MB < written < 1500
        async with http.get(f"{small_stack.url}/api/health") as answer:
            disk = (await answer.json())["disk"]
        assert disk["overQuota"] == 1
        assert disk["freeBytes"] > disk["reserveBytes"] > 0
        run_in(small_stack.sandbox(session), "rm", "/workspace/big", "/workspace/sparse", user=AGENT)
        run_in(
            small_stack.sandbox(session),
            "python3",
            "-c",
            "open('/workspace/ok', 'wb').write(bytes(100 << 20))",
            user=AGENT,
        )
        await asyncio.sleep(2)
        await answered(http, small_stack, session)
        assert "ok" in run_in(small_stack.sandbox(session), "ls", "/workspace", user=AGENT)


async def test_files_without_number_are_ended_and_a_workspace_can_be_emptied(small_stack: Deployed) -> None:
    async with reader() as http:
        session = await session_of(http, small_stack)
        assert told(await ended_by(http, small_stack, session, MANY)) == QUOTA
        async with http.delete(f"{small_stack.url}/api/sessions/{session}/files") as answer:
            assert answer.status == 204
        await answered(http, small_stack, session)
        assert (
            int(run_in(small_stack.sandbox(session), "sh", "-c", "ls /home/agent | wc -l", user=AGENT)) < 100
        )
