"""A gateway whose sandboxes are a hostile server: it says yes to every call and does as it likes on WebSockets."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from gateway.app import build_app
from gateway.config import Settings
from gateway.sandboxes.drivers import Driver, Sandbox, SandboxState
from gateway.store.dynamo import DynamoStore
from tests.gateway.stack import Gateway, Stack
from tests.tunnel import Target, answer, request_path

_SESSION = re.compile(rb"(?i)\r\nauthorization: Bearer vfs1\.([A-Za-z0-9_-]+)\.")


class OneAddress:
    """A driver for which every session's sandbox runs at one address of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def ensure(self, session: str) -> Sandbox:
        return Sandbox(session=session, state=SandboxState.RUNNING, host="127.0.0.1", port=self._port)

    async def status(self, session: str) -> Sandbox:
        return await self.ensure(session)

    async def stop(self, session: str) -> None:
        """There is nothing to stop."""

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
        self._runner = web.AppRunner(self.app)
        self.url = ""


class HostileStack(Stack):
    """A gateway that believes that its sandboxes are at `port`."""

    def __init__(self, endpoint: str, table: str, root: Path, port: int, **changes: Any) -> None:
        super().__init__(endpoint, table, root, **changes)
        self._port = port

    async def add(self) -> Gateway:
        """See `Stack`."""
        gateway = _Gateway(self.settings, OneAddress(self._port))
        await gateway.start()
        self.gateways.append(gateway)
        return gateway


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
