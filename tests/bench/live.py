"""A live run of many small frames: what the gateway spends on it, its recording included, and the peaks of memory."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from tests.bench.figures import cpu_seconds, memory_kib
from tests.bench.latency import Browser
from tests.bench.processes import Local

_TEXT: Final = re.compile(r'"type": ?"text-delta"')


@dataclass(frozen=True, slots=True)
class Live:
    """Processor time in microseconds a frame; memory in KiB."""

    frames: int
    frames_a_second: float
    gateway_cpu: float
    sandbox_cpu: float
    gateway_peak: int
    agent_server_peak: int


async def stream(browser: Browser, local: Local, frames: int, *, batch: bool) -> Live:
    """One run of `frames` text frames as fast as the demo agent makes them, in a sandbox that was warm."""
    session, _ = await browser.ask(None, "echo warm")
    record = json.loads((local.root / session / "state.json").read_text())
    agent_server = int(record["pid"])
    headers = {"Authorization": f"Bearer {browser.token}"}
    query = {
        "sessionId": session,
        "prompt": f"count to {frames} (every 0 ms)",
        "batch": "1" if batch else "0",
    }
    before = cpu_seconds(local.pid), cpu_seconds(agent_server)
    began = time.perf_counter()
    seen = 0
    async with browser.http.ws_connect(
        f"{browser.url}/api/sdk/ws", params=query, headers=headers, max_msg_size=0
    ) as ws:
        async for message in ws:
            seen += _texts(message)
    took = time.perf_counter() - began
    if seen != frames:
        raise RuntimeError(f"{seen} of {frames} frames came")
    live = Live(
        frames=frames,
        frames_a_second=frames / took,
        gateway_cpu=(cpu_seconds(local.pid) - before[0]) * 1e6 / frames,
        sandbox_cpu=(cpu_seconds(agent_server) - before[1]) * 1e6 / frames,
        gateway_peak=memory_kib(local.pid, peak=True),
        agent_server_peak=memory_kib(agent_server, peak=True),
    )
    await browser.delete(session)
    return live


def _texts(message: aiohttp.WSMessage) -> int:
    data: Any = message.data
    return len(_TEXT.findall(data))
