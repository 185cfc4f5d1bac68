"""An agent's side of the pipe, for agents on an event loop: queries in, frames out."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

from container.agent.lines import Line, LineFramer
from container.protocol import decode


class _Lines(asyncio.Protocol):
    def __init__(self) -> None:
        self.queue: asyncio.Queue[Line | None] = asyncio.Queue()
        self._framer = LineFramer()

    def data_received(self, data: bytes) -> None:
        for line in self._framer.feed(data):
            self.queue.put_nowait(line)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.queue.put_nowait(None)


async def queries() -> AsyncIterator[dict[str, Any]]:
    """The queries on stdin, one after another, until it ends. Raises ValueError for a line that is no JSON object."""
    _, lines = await asyncio.get_running_loop().connect_read_pipe(_Lines, sys.stdin)
    while (line := await lines.queue.get()) is not None:
        if line.data.strip():
            yield decode(line.data)


def send(frame: dict[str, Any]) -> None:
    """Write one frame to stdout, whole and at once; the agent server always reads."""
    line = memoryview(json.dumps(frame).encode() + b"\n")
    while line:
        line = line[os.write(1, line) :]
