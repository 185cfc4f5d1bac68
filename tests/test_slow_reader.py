"""A browser that never reads while the agent says a lot: memory stays bounded, and the others read on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from yarl import URL

from container.protocol import seq_of
from tests.bench.figures import memory_kib
from tests.gateway.stack import Stack
from tests.rawpeer import Op, RawPeer, connect, frame

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

SECONDS = 120.0
FRAMES = 1200
FRAME_BYTES = 100_000
LAST = FRAMES + 3  # and run, done, process-exit
BOUND_KIB = 56 * 1024
"""How much a process may grow while 120 MB pass through it: less than half of them, and no more for twice as much."""

AGENT = f"""
import json, sys
query = json.loads(sys.stdin.readline())
for number in range({FRAMES}):
    print(json.dumps({{"type": "text-delta", "text": "x" * {FRAME_BYTES}}}), flush=True)
print(json.dumps({{"type": "done", "sessionId": "s", "fullText": "", "usage": {{}}, "costUsd": 0}}), flush=True)
"""


@pytest_asyncio.fixture
async def stack(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    agent = tmp_path / "agent.py"
    agent.write_text(AGENT)
    command = f"{sys.executable} {agent}"
    changes = {"agent": command, "model_api_key": "none is used"}
    async with Stack(dynamodb_endpoint, f"t{uuid4().hex}", tmp_path / "sandboxes", **changes) as stack:
        yield stack


async def test_a_reader_that_never_reads_costs_nobody_anything(stack: Stack) -> None:
    session = await stack.session()
    await stack.gateways[0].runs.driver.ensure(session)
    agent_server = int(json.loads((stack.root / session / "state.json").read_text())["pid"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, memory_kib(agent_server)
    url = URL(stack.url).with_path("/api/sdk/ws")
    async with asyncio.timeout(SECONDS):
        asking = url.with_query(sessionId=session, prompt="say a lot")
        async with connect(asking, stack.headers(), receive_buffer=16384) as slow:
            run = await _run_of(slow)
            attached = url.with_query(sessionId=session, run=run, batch="1")
            async with connect(attached, stack.headers()) as healthy:
                assert await _read_on(healthy, 0) == LAST
            grown = (
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before[0],
                memory_kib(agent_server, peak=True) - before[1],
            )
            assert max(grown) < BOUND_KIB, grown
            held = await _read_on(slow, 1)
        if held < LAST:  # It had not answered a ping for too long; it goes on with its cursor like any other.
            again = url.with_query(sessionId=session, run=run, after=str(held))
            async with connect(again, stack.headers()) as healthy:
                assert await _read_on(healthy, held) == LAST


async def _run_of(peer: RawPeer) -> str:
    while b'"seq":1}' not in (came := (await peer.read()).payload):
        pass
    return str(json.loads(came)["run"])


async def _read_on(peer: RawPeer, last: int) -> int:
    """The number of the last frame that comes after `last`, each of them seen once and in order."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while (came := await peer.read()).op != Op.CLOSE:
            if came.op == Op.PING:
                await peer.send(frame(Op.PONG, came.payload))
                continue
            for line in came.payload.split(b"\n"):
                if (seq := seq_of(line)) is not None:
                    assert seq == last + 1
                    last = seq
    return last
