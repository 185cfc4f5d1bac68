"""The proxy of a gateway between a client in a sandbox's place and a forward proxy that does what a test says."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Self

from container.protocol import sandbox_token, session_of_token
from gateway import errors
from gateway.egress.listener import EgressProxy
from gateway.egress.policy import Blocked
from gateway.model import Session
from gateway.quotas.service import Quotas
from gateway.store.quotas import Rate, Reached
from tests.gateway.fakes import until
from tests.gateway.stack import SECRET, settings_for

SECONDS = 20.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Forward:
    """A forward proxy. `answer`: the head with which it answers; `serve`: what it does behind a good one."""

    def __init__(self) -> None:
        self.answer = b"HTTP/1.1 200 OK\r\n\r\n"
        self.serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] = self.echo
        self.heads: list[bytes] = []
        self.came = bytearray()
        self.open = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            await self.serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
            self.open -= 1

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.came += data
            writer.write(data)
            await writer.drain()


async def holder(token: str) -> str:
    """Whose token this is, as the broker has it of sandboxes that all run."""
    session = session_of_token(SECRET.encode(), token)
    if session is None:
        raise errors.Unauthorized("none of ours")
    return session


class Store:
    """As much of a store as the proxy asks."""

    def __init__(self) -> None:
        self.sessions = {
            name: Session(id=name, owner="ada", title="", created_at=1.0, updated_at=1.0)
            for name in ("s1", "s2")
        }
        self.away = False
        self.counted: Counter[str] = Counter()

    async def get_session(self, session: str) -> Session:
        if self.away:
            raise errors.StoreUnavailable("away")
        if session not in self.sessions:
            raise errors.SessionNotFound("none")
        return self.sessions[session]

    async def count(
        self, rate: Rate, amounts: dict[str, int], *, now: float, always: bool = False
    ) -> Reached | None:
        (limit,) = rate.limits
        if not always and self.counted[rate.who] >= limit.most:
            return Reached(limit, limit.ends(now) - now)
        self.counted[rate.who] += amounts["bytes"]
        return None


class Bench:
    """Use it as an async context manager."""

    def __init__(self, **changes: Any) -> None:
        self.forward = Forward()
        self.store = Store()
        self.told: list[tuple[str, str, Blocked, bool]] = []
        self._changes = changes
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self.forward.connected, "127.0.0.1", 0)
        at = self._server.sockets[0].getsockname()[1]
        settings = settings_for(
            "http://127.0.0.1:1", "t", egress="registries", egress_proxy=f"127.0.0.1:{at}"
        )
        self.settings = replace(settings, **{"head_seconds": 5.0, **self._changes})
        quotas = Quotas(self.settings, self.store)  # type: ignore[arg-type] # as much of one as it asks

        async def tell(*what: Any) -> None:
            self.told.append(what)

        self.proxy = EgressProxy(self.settings, self.store, quotas, tell, holder=holder)  # type: ignore[arg-type]
        self.port = await self.proxy.start("127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        for writer in self._writers:
            writer.transport.abort()
        await self.proxy.close(0.1)
        self._server.close()
        await until(lambda: not self.forward.open)

    def token(self, session: str = "s1") -> str:
        return sandbox_token(SECRET.encode(), session)

    def credentials(self, session: str = "s1") -> bytes:
        pair = base64.b64encode(f"sandbox:{self.token(session)}".encode())
        return b"Proxy-Authorization: Basic " + pair + b"\r\n"

    async def open(self) -> Streams:
        streams = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(streams[1])
        return streams

    async def ask(
        self, line: str, *, session: str = "s1", credentials: bool = True
    ) -> tuple[int, str, Streams]:
        """The status, and the head of the answer, to a request."""
        reader, writer = await self.open()
        sent = self.credentials(session) if credentials else b""
        writer.write(line.encode() + b" HTTP/1.1\r\n" + sent + b"\r\n")
        async with asyncio.timeout(SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1]), head.decode(), (reader, writer)

    async def tunnel(self, host: str, *, session: str = "s1") -> Streams:
        """One that is open to `host`."""
        status, head, streams = await self.ask(f"CONNECT {host}:443", session=session)
        assert status == 200, head
        return streams


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """All that still comes, until the end or a reset."""
    async with asyncio.timeout(SECONDS):
        try:
            return await reader.read()
        except ConnectionError:
            return b""
