"""A gateway whose sandboxes are a hostile server: it says yes to every call and does as it likes on WebSockets."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest import mock

from gateway.app import build_app
from gateway.config import Settings
from gateway.sandboxes.drivers import Driver, Sandbox, SandboxState, proof
from gateway.serve import public_listener
from gateway.store.dynamo import DynamoStore
from tests.gateway.stack import Gateway, Stack
from tests.listening import listening
from tests.tunnel import Target, answer, request_path

_SESSION = re.compile(rb"(?i)\r\nauthorization: Bearer vfs1\.([A-Za-z0-9_-]+)\.")


@contextmanager
def taken_as_known() -> Iterator[None]:
    """A hostile server knows the tokens of its sandboxes, as one does that has taken the place of an agent server: here
    it is believed. That nobody else gets one, tests/gateway/sandboxes/drivers/test_proof.py shows."""

    async def prove(*_: object) -> None:
        """Nothing is asked."""

    with mock.patch.object(proof, "prove", prove):
        yield


class OneAddress:
    """A driver for which every session's sandbox runs at one address of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.stops = 0

    async def ensure(self, session: str) -> Sandbox:
        return Sandbox(session=session, state=SandboxState.RUNNING, host="127.0.0.1", port=self._port)

    async def status(self, session: str) -> Sandbox:
        return await self.ensure(session)

    async def stop(self, session: str) -> None:
        """There is nothing to stop; it is counted."""
        self.stops += 1

    async def delete(self, session: str) -> None:
        """There is nothing to delete."""

    async def list(self) -> Sequence[Sandbox]:
        return ()

    async def close(self) -> None:
        """There is nothing to close."""


class _Gateway(Gateway):
    def __init__(self, settings: Settings, driver: Driver) -> None:
        self.settings = settings
        self.app = build_app(settings, store=DynamoStore(settings), driver=driver)
        self._runner = public_listener(settings, self.app)
        self.url = ""


class HostileStack(Stack):
    """A gateway that believes that its sandboxes are at `port`."""

    def __init__(self, endpoint: str, table: str, root: Path, port: int, **changes: Any) -> None:
        super().__init__(endpoint, table, root, **changes)
        self.driver = OneAddress(port)
        self._known = ExitStack()

    async def __aenter__(self) -> Self:
        self._known.enter_context(taken_as_known())
        return await super().__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, trace)
        self._known.close()

    async def add(self) -> Gateway:
        """See `Stack`."""
        gateway = _Gateway(self.settings, self.driver)
        await gateway.start()
        self.gateways.append(gateway)
        return gateway


Talk = Callable[[asyncio.StreamWriter], Awaitable[None]]


class HostileServer:
    """Answers each request by what `talk` writes, and counts the bytes of it (`sent`); at most `most`, so that a test
    that finds a fault does not eat the machine."""

    def __init__(self, talk: Talk, *, most: int = 400 * 1024 * 1024) -> None:
        self._talk = talk
        self._most = most
        self.sent = 0
        self.requests: list[bytes] = []

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[int]:
        """On a free port of 127.0.0.1, which it yields."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            await self._talk(_Counted(writer, self))  # type: ignore[arg-type]

        with taken_as_known():
            async with listening(serve) as port:
                yield port


class _Counted:
    """A writer whose bytes a `HostileServer` counts."""

    def __init__(self, writer: asyncio.StreamWriter, server: HostileServer) -> None:
        self._writer, self._server = writer, server

    def write(self, data: bytes) -> None:
        self._server.sent += len(data)
        if self._server.sent > self._server._most:
            raise ConnectionResetError("enough")
        self._writer.write(data)

    async def drain(self) -> None:
        await self._writer.drain()


def whole(status: str, body: bytes, *headers: str) -> Talk:
    """A whole answer."""

    async def talk(writer: asyncio.StreamWriter) -> None:
        lines = [
            f"HTTP/1.1 {status}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *headers,
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
        await asyncio.Event().wait()

    return talk


def endless(status: str, chunk: bytes, *headers: str) -> Talk:
    """An answer without end."""

    async def talk(writer: asyncio.StreamWriter) -> None:
        head = [f"HTTP/1.1 {status}", "Transfer-Encoding: chunked", *headers, "", ""]
        writer.write("\r\n".join(head).encode())
        while True:
            writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            await writer.drain()

    return talk


def again_and_again(start: bytes, part: bytes, *, pause: float = 0.0) -> Talk:
    """`start`, and then `part` without end, `pause` seconds apart."""

    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)

    return talk


async def silence(_writer: asyncio.StreamWriter) -> None:
    """Never an answer."""
    await asyncio.Event().wait()


class HostileSandbox:
    """Chooses for a `tunnel`: `upgrade(session, head)` is asked for each WebSocket, all else is answered with success.

    `upgraded` counts the WebSockets by session.
    """

    def __init__(self, upgrade: Callable[[str, bytes], Target | bytes]) -> None:
        self._upgrade = upgrade
        self.upgraded: dict[str, int] = {}

    @asynccontextmanager
    async def choose(self, head: bytes) -> AsyncIterator[Target | bytes]:
        """For `tunnel`."""
        found = _SESSION.search(head)
        if not found:
            yield answer("401 Unauthorized")
        elif request_path(head).startswith(("/ws", "/relay")):
            session = found[1].decode()
            self.upgraded[session] = self.upgraded.get(session, 0) + 1
            yield self._upgrade(session, head)
        elif head.startswith(b"PUT"):
            yield answer("204 No Content")
        else:
            yield answer("202 Accepted", b'{"state":"stopping"}')
