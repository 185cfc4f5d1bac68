"""Connections that are opened and kept: idle, with a request that never ends, or never read."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.attack.force.limits import MOST_CONNECTIONS, bounded

FILL = b"a" * 65536
CONNECT_SECONDS = 5.0
SMALL_BUFFER = 4096
POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Hold:
    """`count` connections, `rate` a second; each sends `first`, `fill` bytes more, then `drip` every `every` seconds.

    `read`: whether what comes is read. `sources`: so many addresses of 127/8 to come from, on loopback.
    `until_let_go`: it is over as soon as none of them is open.
    """

    host: str
    port: int
    seconds: float
    count: int
    rate: float = 1500.0
    first: str = ""
    fill: int = 0
    drip: str = ""
    every: float = 2.0
    read: bool = True
    sources: int = 1
    until_let_go: bool = False


class _Held(asyncio.Protocol):
    def __init__(self, order: Hold) -> None:
        self.order = order
        self.left = order.fill
        self.sent = 0
        self.head = b""
        self.lost_at: float | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if not self.order.read:
            transport.pause_reading()
        transport.set_write_buffer_limits(high=2 * len(FILL))
        transport.write(self.order.first.encode("latin-1"))
        self._writable = True
        self._pump()

    def _pump(self) -> None:
        while self.left and self._writable and not self.transport.is_closing():
            piece = FILL[: self.left]
            self.transport.write(piece)
            self.left -= len(piece)
            self.sent += len(piece)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._pump()

    def data_received(self, data: bytes) -> None:
        if len(self.head) < 64:
            self.head += data[:64]

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost_at = time.monotonic()

    def drip(self, data: bytes) -> None:
        if self.lost_at is None and not self.transport.is_closing():
            self.transport.write(data)


async def hold(order: Hold) -> dict[str, Any]:
    """Open them, keep them, let go; says how many were open at the end, and what was answered."""
    bounded("count", order.count, MOST_CONNECTIONS)
    began = time.monotonic()
    held: list[_Held] = []
    refused = 0
    dripping = asyncio.create_task(_drip(order, held))
    try:
        step = max(1, int(order.rate / 20))
        for at in range(0, order.count, step):
            if time.monotonic() - began > order.seconds:
                break
            numbers = range(at, min(at + step, order.count))
            made = await asyncio.gather(*(_open(order, number) for number in numbers), return_exceptions=True)
            for one in made:
                if isinstance(one, _Held):
                    held.append(one)
                elif isinstance(one, OSError | TimeoutError):
                    refused += 1
                elif isinstance(one, BaseException):
                    raise one
            await asyncio.sleep(max(0.0, began + (at + step) / order.rate - time.monotonic()))
        while time.monotonic() < began + order.seconds and not (order.until_let_go and _all_gone(held)):
            await asyncio.sleep(min(POLL_SECONDS, max(0.0, began + order.seconds - time.monotonic())))
        still = sum(one.lost_at is None for one in held)
        statuses = Counter(
            one.head[9:12].decode("latin-1") for one in held if one.head.startswith(b"HTTP/1.")
        )
        return {
            "opened": len(held),
            "refused": refused,
            "open": still,
            "statuses": dict(statuses),
            "sent": sum(one.sent for one in held),
        }
    finally:
        dripping.cancel()
        for one in held:
            one.transport.abort()


def _all_gone(held: list[_Held]) -> bool:
    return all(one.lost_at is not None for one in held)


async def _open(order: Hold, number: int) -> _Held:
    raw = socket.socket()
    raw.setblocking(False)
    try:
        if order.sources > 1 or order.host.startswith("127."):
            raw.bind((source(order.host, number % order.sources), 0))
        if not order.read:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_SECONDS):
            await loop.sock_connect(raw, (order.host, order.port))
            _, protocol = await loop.create_connection(lambda: _Held(order), sock=raw)
    except BaseException:
        raw.close()
        raise
    return protocol


def source(host: str, number: int) -> str:
    """Where to come from: on loopback never the address of good people; elsewhere as the system says."""
    if not host.startswith("127."):
        return "0.0.0.0"
    return f"127.0.{1 + number // 250}.{2 + number % 250}"


async def _drip(order: Hold, held: list[_Held]) -> None:
    data = order.drip.encode("latin-1")
    while data:
        await asyncio.sleep(order.every)
        for one in list(held):
            one.drip(data)
