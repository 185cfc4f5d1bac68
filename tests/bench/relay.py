"""Frames through the gateway's relay beside nginx as a byte tunnel: same upstream, same client, rounds in turn."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from yarl import URL

from tests.bench.figures import cpu_seconds, memory_kib
from tests.bench.upstream import FRAME, PAYLOAD_BYTES
from tests.rawpeer import Op, frame, handshake

TIMEOUT: Final = 60.0
ECHO: Final = b"x" * PAYLOAD_BYTES


@dataclass(frozen=True, slots=True)
class Way:
    """A way to the upstream. `pids`: the processes between client and upstream."""

    name: str
    url: URL
    headers: dict[str, str]
    pids: tuple[int, ...]

    @contextlib.contextmanager
    def connections(self, count: int) -> Iterator[list[socket.socket]]:
        """Upgraded connections, one after the other."""
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(contextlib.closing(self._connect())) for _ in range(count)]

    def cpu(self) -> float:
        """Seconds of processor time that the way has taken so far."""
        return sum(cpu_seconds(pid) for pid in self.pids)

    def memory(self) -> int:
        """KiB resident."""
        return sum(memory_kib(pid) for pid in self.pids)

    def _connect(self) -> socket.socket:
        assert self.url.host is not None
        assert self.url.port is not None
        connection = socket.create_connection((self.url.host, self.url.port), TIMEOUT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(handshake(self.url, self.headers))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        if not head.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(f"{self.name}: {head!r}")
        return connection


def place(ways: list[Way], upstream: int) -> str:
    """Give each way's processes the first core, and the calling thread, the client, and the `upstream` process the
    others: beside which of them the scheduler puts a way changes its figures twofold, nginx's too. What was done."""
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        return "all on one core"
    for pid, cores in ((upstream, others), *((pid, (first,)) for way in ways for pid in way.pids)):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)
    os.sched_setaffinity(0, others)
    return "each way on a core of its own"


def settle(way: Way) -> None:
    """Wait until the way has done with what went before, a hundred connections' end for one."""
    for _ in range(100):
        before = way.cpu()
        time.sleep(0.1)
        if way.cpu() - before <= 0.01:
            return


def round_trips(way: Way, count: int) -> list[float]:
    """Microseconds of one message after the other, there and back."""
    message = frame(Op.TEXT, ECHO)
    took = []
    settle(way)
    with way.connections(1) as (connection,):
        for _ in range(count):
            began = time.perf_counter()
            connection.sendall(message)
            _read(connection, len(FRAME))
            took.append((time.perf_counter() - began) * 1e6)
    return took


def flood(way: Way, connections: int, frames: int, by: int) -> tuple[float, float]:
    """Frames a second, and processor microseconds a frame on the way, of `frames` on each connection at once.

    The upstream writes `by` frames at a time: 1 is how tokens come, many is how a log is read again.
    """
    total = frames * len(FRAME)
    with way.connections(connections) as opened, selectors.DefaultSelector() as selector:
        left = {}
        for connection in opened:
            left[connection] = total
            selector.register(connection, selectors.EVENT_READ)
        settle(way)
        cpu, began = way.cpu(), time.perf_counter()
        for connection in opened:
            connection.sendall(frame(Op.TEXT, b"FLOOD %d %d" % (frames, by)))
        while left:
            ready = selector.select(TIMEOUT)
            if not ready:
                raise RuntimeError(f"{way.name}: nothing more came")
            for key, _ in ready:
                assert isinstance(key.fileobj, socket.socket)
                left[key.fileobj] -= len(key.fileobj.recv(1 << 18)) or _gone()
                if not left[key.fileobj]:
                    del left[key.fileobj]
                    selector.unregister(key.fileobj)
        took = time.perf_counter() - began
        spent = way.cpu() - cpu
    count = frames * connections
    return count / took, spent * 1e6 / count


def idle_memory(way: Way, count: int) -> float:
    """KiB resident for each of `count` relayed connections that have said one word and are silent."""
    with way.connections(20):  # what the first ones make is made
        pass
    settle(way)
    before = way.memory()
    with way.connections(count) as opened:
        for connection in opened:
            connection.sendall(frame(Op.TEXT, ECHO))
            _read(connection, len(FRAME))
        return (way.memory() - before) / count


def _read(connection: socket.socket, size: int) -> None:
    while size:
        size -= len(connection.recv(min(size, 1 << 16))) or _gone()


def _gone() -> int:
    raise ConnectionResetError("the connection ended")


def workers(pid: int) -> tuple[int, ...]:
    """nginx's worker processes, which do the work."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:  # noqa: PTH123
        return tuple(int(child) for child in file.read().split()) or (pid,)


def load() -> str:
    """How busy the machine was at the time: without it no figure means much."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
