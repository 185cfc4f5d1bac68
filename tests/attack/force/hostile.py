"""An agent server that wants to bring down the gateway that talks to it: endless answers, floods of tiny frames."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import re
import signal
import socket
import sys
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.attack.force.material import FIRST, MIB, SERVER_FRAMES, accepted, bomb
from tests.attack.force.takeover import listener_of_the_agent_server

CHUNK = 16384
BIG_BYTES = 400 * MIB
SNAPSHOT_BYTES = 1024 * MIB
SESSION = re.compile(rb"(?i)\r\nauthorization: Bearer vfs1\.([A-Za-z0-9_-]+)\.")
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """`frames`: one of SERVER_FRAMES, said without end on every WebSocket. `ping`: what `/ping` answers: `good`,
    `plain` and `gzip` (400 MB), `endless`, `deep`. `snapshot`: it hands out a gzip bomb as one, and says that it idles.
    `takeover`: on the socket of the agent server whose processes are seen here, which stands still meanwhile.
    `token`: of the sandbox in whose place it is, which it knows as that does.
    """

    host: str
    seconds: float
    port: int = 0
    frames: str = "none"
    ping: str = "good"
    snapshot: bool = False
    takeover: bool = False
    token: str = ""
    rate: float = 16e6


@dataclass
class _Seen:
    asked: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    packed: bytes = b""
    writers: set[asyncio.StreamWriter] = field(default_factory=set)


async def serve(order: Hostile) -> dict[str, Any]:
    """Listen, say on which port, and serve until the time is up; how often each thing was asked."""
    seen = _Seen()
    if order.snapshot or order.ping == "gzip":
        seen.packed = bomb(SNAPSHOT_BYTES if order.snapshot else BIG_BYTES)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.writers.add(writer)
        try:
            while await _answer(order, seen, reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the gateway went away: as it should
        except asyncio.CancelledError:
            return
        finally:
            seen.writers.discard(writer)
            writer.transport.abort()

    with ExitStack() as stack:
        if order.takeover:
            pid, listening = listener_of_the_agent_server()
            stack.callback(_go_on, pid)
            os.kill(pid, signal.SIGSTOP)
        else:
            listening = socket.create_server((order.host, order.port), backlog=256)
        server = await asyncio.start_server(talk, sock=listening)
        sys.stdout.write(json.dumps({"port": listening.getsockname()[1]}) + "\n")
        sys.stdout.flush()
        await asyncio.sleep(order.seconds)
        server.close()
        for writer in list(seen.writers):
            writer.transport.abort()
    return {"asked": dict(seen.asked), "sent": seen.sent}


def _proof(order: Hostile, target: bytes, writer: asyncio.StreamWriter) -> bytes:
    """As an agent server has it (docs/protocol.md, section 4)."""
    host, port, *_ = writer.get_extra_info("sockname")
    nonce = target.partition(b"nonce=")[2].decode("latin-1")
    said = f"vf-proof:{nonce}:{host}:{port}".encode()
    proof = hmac.new(order.token.encode(), said, "sha256").hexdigest().encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + proof


def _go_on(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


async def _answer(
    order: Hostile, seen: _Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    """One request; whether another one may follow on the connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    method, target, _ = head.split(b" ", 2)
    path = target.partition(b"?")[0].decode("latin-1").split("/")[1]
    found = LENGTH.search(head)
    await reader.readexactly(int(found[1]) if found else 0)
    seen.asked[f"{method.decode('latin-1')} /{path}"] += 1
    if path in ("ws", "relay"):
        await _flood(order, seen, head, reader, writer)
        return False
    if path == "proof":
        writer.write(_proof(order, target, writer))
    elif path == "ping":
        await _ping(order, seen, head, writer)
    elif path == "snapshot" and method == b"GET" and order.snapshot:
        packed = seen.packed
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
        )
        await writer.drain()
    elif path in ("snapshot", "retire"):
        writer.write(b"HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n{}")
    elif method == b"PUT":
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    else:
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 20\r\n\r\n" + b'{"state":"stopping"}')
    await writer.drain()
    return True


async def _ping(order: Hostile, seen: _Seen, head: bytes, writer: asyncio.StreamWriter) -> None:
    session = found[1].decode() if (found := SESSION.search(head)) else ""
    good = {"status": "ok", "session": session, "activeRun": None, "connections": 0, "fresh": False}
    said = json.dumps({**good, "idleSeconds": 9999 if order.snapshot else 0}).encode()
    if order.ping == "good":
        writer.write(JSON_HEAD + b"Content-Length: %d\r\n\r\n" % len(said) + said)
    elif order.ping == "gzip":
        packed = seen.packed
        writer.write(
            JSON_HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
        )
    elif order.ping == "deep":
        writer.write(JSON_HEAD + b"Content-Length: 100000\r\n\r\n" + b"[" * 100_000)
    else:
        size = 10**12 if order.ping == "endless" else BIG_BYTES
        writer.write(JSON_HEAD + b"Content-Length: %d\r\n\r\n" % size)
        piece, left = b"[" + b"1," * (MIB // 4), size
        while left > 0:
            writer.write(piece[:left])
            await writer.drain()
            left -= len(piece)
            seen.sent += len(piece)
    await writer.drain()


async def _flood(
    order: Hostile, seen: _Seen, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(accepted(head))
    reading = asyncio.create_task(_discard(reader))
    try:
        one = SERVER_FRAMES[order.frames]
        if not one:
            await reading
            return
        if order.frames == "continuation":
            writer.write(FIRST[False])
        chunk = one * (CHUNK // len(one))
        began, written = time.monotonic(), 0
        while not reading.done():
            writer.write(chunk)
            await writer.drain()
            written += len(chunk)
            seen.sent += len(chunk)
            await asyncio.sleep(max(0.0, written / order.rate - (time.monotonic() - began)))
    finally:
        reading.cancel()
        await asyncio.wait([reading])


async def _discard(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while await reader.read(65536):
            pass
