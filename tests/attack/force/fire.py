"""Many requests, each on a connection of its own: what was answered, how late, and who ended the connection."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.attack.force.hold import source
from tests.attack.force.limits import MOST_REQUESTS, bounded
from tests.attack.force.material import BODY_BYTES, bomb

ANSWER_SECONDS = 20.0
SAID_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Fire:
    """`count` requests out of `requests` in turn, `rate` a second, `at_once` side by side at most.

    `unpacked`: a gzip bomb of that size follows each of them. `linger`: how long the server is given to end a
    connection after its answer. `reads`: whether answers are read to their end, and told.
    """

    host: str
    port: int
    seconds: float
    requests: list[str]
    count: int
    rate: float = 1000.0
    at_once: int = 100
    unpacked: int = 0
    linger: float = 0.0
    sources: int = 1
    reads: bool = False


@dataclass
class _Seen:
    answers: Counter[str] = field(default_factory=Counter)
    by_request: dict[str, str] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    ended: int = 0
    slowest: float = 0.0
    sent: int = 0
    extra: int = 0


async def fire(order: Fire) -> dict[str, Any]:
    """`answers` by status (`none`: the connection ended without, `late`: nothing came in time); `ended`: connections
    that the server closed; `said`: answers by the number of their request; `more`: answers beyond the first on one
    connection."""
    bounded("count", order.count, MOST_REQUESTS)
    seen = _Seen()
    body = bomb(order.unpacked) if order.unpacked else b""
    free = asyncio.Semaphore(order.at_once)
    began = time.monotonic()
    tasks: set[asyncio.Task[None]] = set()
    done = 0
    for number in range(order.count):
        if time.monotonic() - began > order.seconds:
            break
        await asyncio.sleep(max(0.0, began + number / order.rate - time.monotonic()))
        await free.acquire()
        task = asyncio.create_task(_ask(order, number, body, seen))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(lambda _: free.release())
        done += 1
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=ANSWER_SECONDS)
        for task in late:
            task.cancel()
    return {
        "asked": done,
        "answers": dict(seen.answers),
        "by_request": seen.by_request,
        "said": seen.said,
        "ended": seen.ended,
        "slowest": round(seen.slowest, 2),
        "sent": seen.sent,
        "more": seen.extra,
        "seconds": round(time.monotonic() - began, 2),
    }


async def _ask(order: Fire, number: int, body: bytes, seen: _Seen) -> None:
    index = number % len(order.requests)
    began = time.monotonic()
    answer = "none"
    writer: asyncio.StreamWriter | None = None
    try:
        local = (source(order.host, number % order.sources), 0) if order.host.startswith("127.") else None
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(order.host, order.port, local_addr=local)
            asked = order.requests[index].replace(BODY_BYTES, str(len(body))).encode("latin-1")
            sending = asyncio.create_task(_send(writer, asked + body, seen))
            try:
                head = await reader.read(4096)
                if head.startswith(b"HTTP/1."):
                    answer = head[9:12].decode("latin-1")
                seen.slowest = max(seen.slowest, time.monotonic() - began)
                if order.reads:
                    seen.said[str(index)] = (head + await reader.read(SAID_BYTES)).decode("latin-1")
                if order.linger:
                    await _linger(order, reader, head, seen)
            finally:
                sending.cancel()
                await asyncio.wait([sending])
    except TimeoutError:
        answer = "late"
    except OSError:
        seen.ended += 1
    finally:
        seen.answers[answer] += 1
        seen.by_request[str(index)] = answer
        if writer is not None:
            writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, data: bytes, seen: _Seen) -> None:
    try:
        for at in range(0, len(data), 65536):
            writer.write(data[at : at + 65536])
            await writer.drain()
            seen.sent += len(data[at : at + 65536])
    except OSError:
        return  # the server went away before it had everything: as it should


async def _linger(order: Fire, reader: asyncio.StreamReader, head: bytes, seen: _Seen) -> None:
    came = head
    try:
        async with asyncio.timeout(order.linger):
            while data := await reader.read(65536):
                came += data[: 65536 - len(came)]
            seen.ended += 1
    except TimeoutError:
        pass
    finally:
        seen.extra += max(0, came.count(b"HTTP/1.1 ") - 1)
