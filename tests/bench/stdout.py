"""An agent's lines on their way to a client: through agent server and gateway, recorded, and through websocketd."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from yarl import URL

from tests.bench.processes import process, wait_open
from tests.bench.relay import TIMEOUT, Way
from tests.conftest import free_port
from tests.rawpeer import Op, frame

AGENT: Final = f"{sys.executable} {Path(__file__).with_name('agent.py')}"
MARK: Final = b'"text-delta"'
ASIDE: Final = len(MARK) - 1


@contextlib.asynccontextmanager
async def websocketd(folder: Path) -> AsyncIterator[URL]:
    """websocketd, which starts the agent for each connection and makes a message of each of its lines."""
    port, log = free_port(), folder / "websocketd.log"
    argv = [
        "websocketd",
        "--address",
        "127.0.0.1",
        "--port",
        str(port),
        "--loglevel",
        "error",
        *AGENT.split(),
    ]
    async with process(argv, log):
        await wait_open(port, log)
        yield URL(f"http://127.0.0.1:{port}/")


def lines_a_second(way: Way, ask: bytes | None, lines: int) -> float:
    """From the first line that comes to the last of `lines`. `ask`: the message that asks for them, when the URL
    does not."""
    with way.connections(1) as (connection,):
        if ask is not None:
            connection.sendall(frame(Op.TEXT, ask))
        seen, began, tail = 0, 0.0, b""
        while seen < lines:
            data = tail + _some(connection)
            seen += data.count(MARK)
            tail = data[-ASIDE:]
            if seen and not began:
                began, first = time.perf_counter(), seen
        return (lines - first) / (time.perf_counter() - began)


def query(lines: int) -> bytes:
    """What the agent is asked."""
    return json.dumps({"prompt": f"flood {lines}"}).encode()


def _some(connection: socket.socket) -> bytes:
    connection.settimeout(TIMEOUT)
    data = connection.recv(1 << 18)
    if not data:
        raise ConnectionResetError("the connection ended before all lines had come")
    return data
