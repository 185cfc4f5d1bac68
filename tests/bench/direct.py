"""The agent SDK called directly, with the options of our agent: what the gateway's figures are held against."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.latency import PROMPT

if TYPE_CHECKING:
    from claude_agent_sdk import ClaudeSDKClient


@dataclass(frozen=True, slots=True)
class DirectSdk:
    """`model_url`: the fake model API; `home`: a folder for the SDK's own files."""

    model_url: str
    home: Path

    async def round(self, typing_seconds: float) -> dict[str, dict[str, float]]:
        """A prompt to a client that must be started, to one that has been for a while, and a second one to that."""
        began = time.perf_counter()
        async with self._client() as client:
            cold = await _answer(client, began)
        async with self._client() as client:
            await asyncio.sleep(typing_seconds)
            warm = await _answer(client, time.perf_counter())
            second = await _answer(client, time.perf_counter())
        return {"cold": cold, "warm": warm, "second": second}

    @contextlib.asynccontextmanager
    async def _client(self) -> AsyncIterator[ClaudeSDKClient]:
        # Where it is used: it takes seconds, also of who asks only for help.
        from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient

        workspace = self.home / "workspace"
        workspace.mkdir(parents=True, exist_ok=True)
        environ = {
            "ANTHROPIC_BASE_URL": self.model_url,
            "ANTHROPIC_API_KEY": "bench",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "IS_SANDBOX": "1",
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
        }
        options = ClaudeAgentOptions(
            cwd=workspace,
            env=environ,
            permission_mode="bypassPermissions",
            include_partial_messages=True,
            setting_sources=["user", "project"],
            system_prompt={"type": "preset", "preset": "claude_code"},
        )
        client = ClaudeSDKClient(options)
        await client.connect()
        try:
            yield client
        finally:
            await client.disconnect()


async def _answer(client: ClaudeSDKClient, began: float) -> dict[str, float]:
    from claude_agent_sdk import StreamEvent

    await client.query(PROMPT["claude"])
    found: dict[str, float] = {}
    async for message in client.receive_response():
        now = (time.perf_counter() - began) * 1000
        found.setdefault("agent's first frame", now)
        if isinstance(message, StreamEvent) and message.event.get("type") == "content_block_delta":
            found.setdefault("first text", now)
    return found
