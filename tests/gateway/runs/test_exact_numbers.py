"""Whole numbers of a tool's input, all the way: agent, agent server, table, and the messages that a client reads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.ids import new_id
from tests.container.conftest import KEPT
from tests.gateway.stack import Stack, assert_whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NUMBERS = {"beside": 2**53 + 1, "beyond": [2**64, -(2**63) - 1], "far": 10**308}
SAYS = "send({'type': 'tool-start', 'id': 't', 'name': 'X', 'input': %r})"
TOO_LONG = 'raw(b\'{"type":"tool-start","id":"t","name":"X","input":[%s]}\\n\' % (b"7" * 5000))'


@pytest.fixture
async def stack(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A stack whose agent does what it is told."""
    root = tmp_path / "sandboxes"
    async with Stack(dynamodb_endpoint, f"test-{new_id()}", root, agent=KEPT) as stack:
        yield stack


async def test_they_arrive_as_they_were_said(stack: Stack) -> None:
    for prompt, said in ((SAYS % NUMBERS, NUMBERS), (TOO_LONG, ["7" * 5000])):
        session = await stack.session()
        frames = await stack.ask(session, prompt)
        assert_whole(frames)
        assert [frame["input"] for frame in frames if frame["type"] == "tool-start"] == [said]
        url = f"{stack.url}/api/sessions/{session}/messages"
        async with stack.http.get(url, headers=stack.headers()) as response:
            messages = json.loads(await response.text())["messages"]
        assert messages[-1]["parts"][0]["input"] == said
