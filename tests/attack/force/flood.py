"""WebSockets as a browser opens them, which then say one small thing without end, or only read what comes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.attack.force.hold import source
from tests.attack.force.material import CLIENT_FRAMES, FIRST, close_code, upgrade

CHUNK = 16384
AGAIN_SECONDS = 0.1
HANDSHAKE_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Flood:
    """`frames`: one of CLIENT_FRAMES. `begin`: sent once before, as it is. A connection that is closed is made again,
    `attempts` times at most; `rate`: bytes a second of all connections together."""

    host: str
    port: int
    seconds: float
    target: str
    headers: Mapping[str, str]
    frames: str = "none"
    begin: str = ""
    connections: int = 1
    attempts: int = 20
    rate: float = 4e6


@dataclass
class _Seen:
    handshakes: Counter[str] = field(default_factory=Counter)
    closes: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    received: int = 0
    longest: float = 0.0


async def flood(order: Flood) -> dict[str, Any]:
    """`handshakes` by status, `closes` by code (`none`: without a close frame, `open`: not closed before the end)."""
    seen = _Seen()
    until = time.monotonic() + order.seconds
    await asyncio.gather(*(_keep_on(order, number, until, seen) for number in range(order.connections)))
    size = len(CLIENT_FRAMES[order.frames]) or 1
    return {
        "handshakes": dict(seen.handshakes),
        "closes": dict(seen.closes),
        "frames": seen.sent // size,
        "received": seen.received,
        "longest": round(seen.longest, 2),
    }


async def _keep_on(order: Flood, number: int, until: float, seen: _Seen) -> None:
    for _ in range(order.attempts):
        began = time.monotonic()
        if began >= until:
            return
        try:
            async with asyncio.timeout(until - began):
                await _once(order, number, seen)
        except TimeoutError:
            seen.closes["open"] += 1
        except OSError:
            seen.closes["none"] += 1
        seen.longest = max(seen.longest, time.monotonic() - began)
        await asyncio.sleep(AGAIN_SECONDS)


async def _once(order: Flood, number: int, seen: _Seen) -> None:
    local = (source(order.host, number), 0) if order.host.startswith("127.") else None
    reader, writer = await asyncio.open_connection(order.host, order.port, local_addr=local, limit=2**20)
    try:
        writer.write(upgrade(order.target, order.headers))
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        status = head[9:12].decode("latin-1")
        seen.handshakes[status] += 1
        if status != "101":
            return
        writing = asyncio.create_task(_write(order, writer, seen))
        tail = b""
        try:
            while data := await reader.read(2**18):
                seen.received += len(data)
                tail = (tail + data)[-256:]
        except ConnectionError:
            pass  # its close frame may have come before
        finally:
            writing.cancel()
            await asyncio.wait([writing])
            if reader.at_eof() or reader.exception() is not None:
                seen.closes[close_code(tail)] += 1
    except asyncio.IncompleteReadError:
        seen.handshakes["none"] += 1
    finally:
        writer.transport.abort()


async def _write(order: Flood, writer: asyncio.StreamWriter, seen: _Seen) -> None:
    try:
        writer.write(order.begin.encode("latin-1"))
        one = CLIENT_FRAMES[order.frames]
        if not one:
            return
        if order.frames == "continuation":
            writer.write(FIRST[True])
        chunk = one * (CHUNK // len(one))
        began, written = time.monotonic(), 0
        while True:
            writer.write(chunk)
            await writer.drain()
            written += len(chunk)
            seen.sent += len(chunk)
            ahead = written * order.connections / order.rate - (time.monotonic() - began)
            await asyncio.sleep(max(0.0, ahead))
    except OSError:
        return  # closed: the reading half tells how
