"""Background jobs from end to end: they keep their sandbox while they work, and their end is told and kept."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from gateway.ids import new_id
from gateway.sandboxes.drivers import SandboxState
from tests.container.agent.test_jobs import LISTENER, leave
from tests.container.conftest import KEPT, eventually
from tests.gateway.stack import Stack, assert_whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

IDLE = 9.0
"""Seconds; more than between two looks at jobs."""


@pytest.fixture
async def stack(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A stack whose agent does what it is told and stays."""
    root = tmp_path / "sandboxes"
    async with Stack(dynamodb_endpoint, f"test-{new_id()}", root, agent=KEPT) as stack:
        yield stack


async def idle_for(stack: Stack, session: str, seconds: float) -> None:
    """Until its sandbox says so, and its jobs are known."""
    runs = stack.gateways[0].runs
    sandbox = await runs.driver.status(session)
    headers = await runs.agent._headers(sandbox)

    async def look() -> bool:
        async with stack.http.get(f"{sandbox.url}/ping", headers=headers) as response:
            told = await response.json()
        return bool(told["idleSeconds"] >= seconds)

    await eventually(look)


async def test_a_server_in_the_background_keeps_its_sandbox_and_its_end_is_told(stack: Stack) -> None:
    gateway = stack.gateways[0]
    session = await stack.session()
    assert_whole(await stack.ask(session, leave(f"exec python3 -c {shlex.quote(LISTENER)}")))
    await idle_for(stack, session, IDLE)
    await gateway.reaper(idle=IDLE).reap()
    assert (await gateway.runs.driver.status(session)).state is SandboxState.RUNNING
    await gateway.reaper(idle=0).reap()  # the setting's time is over
    assert (await gateway.runs.driver.status(session)).state is SandboxState.STOPPED
    frames = await stack.ask(session, "say('again')")
    assert_whole(frames)
    (told,) = [frame["jobs"] for frame in frames if frame["type"] == "jobs-ended"]
    assert "create_server" in told[0]
    messages = (await stack.get(f"/api/sessions/{session}/messages"))["messages"]
    assert messages[-1]["meta"]["jobsEnded"] == told
