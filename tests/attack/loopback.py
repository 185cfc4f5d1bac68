"""The `Scene` on loopback: two gateways, DynamoDB Local and sandboxes as processes, made for the purpose.

Attackers come from other addresses of 127/8 than good users do.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from container.protocol import broker_token, sandbox_token
from gateway.config import Settings
from tests.attack.force.limits import bounded
from tests.attack.inside.facts import Facts
from tests.attack.scene import AGENT, AttackError, Gate, Quota, children_cpu, outcome, started
from tests.chaos.processes import Processes
from tests.chaos.reader import Net

CAPS = ("connections", "address_connections", "user_connections", "broker_connections", "sandbox_connections")
SETTINGS = {
    "VF_LEASE_SECONDS": "10",
    "VF_START_SECONDS": "20",
    "VF_IDLE_MINUTES": "0.5",
    **{f"VF_{field.name.upper()}": str(field.default) for field in fields(Settings) if field.name in CAPS},
}
"""As a deployment has them, but for two: what answers badly is given up, and what idles is put away, within the time of
an attack. The caps on connections are a deployment's own: without them other attacks would be made."""

ANNOUNCE_SECONDS = 30.0
LONG_SECONDS = 120.0


class Loopback:
    """Use it within `Processes` and an HTTP client that have been opened."""

    def __init__(self, processes: Processes, http: aiohttp.ClientSession, folder: Path) -> None:
        self.notes = [
            "no HAProxy and no published port on loopback: those rows are left out",
            *processes.notes,
        ]
        self._processes = processes
        self._http = http
        self._folder = folder
        self._agent = Gate("agent", "127.0.0.1", 0)

    @property
    def gates(self) -> Mapping[str, Gate]:
        """See `Scene`: all but the launcher, which wants a Docker engine."""
        public = URL(self._processes.urls[0])
        gates = [
            Gate("public", "127.0.0.1", public.port or 0),
            Gate("broker", "127.0.0.1", self._processes.broker_ports[0]),
            self._agent,
            Gate("blobs", "127.0.0.1", 0),
        ]
        return {gate.name: gate for gate in gates}

    @property
    def nets(self) -> Sequence[Net]:
        """See `Scene`: one through each gateway, the second of which is never attacked from outside."""
        return [
            Net(self._http, lambda url=url: url, self.headers(f"good-{number}"))  # type: ignore[misc]
            for number, url in enumerate(self._processes.urls)
        ]

    @property
    def health(self) -> Sequence[str]:
        """See `Scene`."""
        return self._processes.urls

    @property
    def front(self) -> str:
        """See `Scene`: the attacked gateway itself."""
        return self._processes.urls[0]

    @property
    def elsewhere(self) -> tuple[aiohttp.ClientSession, str]:
        """See `Scene`."""
        return self._http, self.front

    def headers(self, user: str) -> Mapping[str, str]:
        """See `Scene`."""
        return {"Authorization": f"Bearer {self._processes.token(user)}"}

    async def sandbox_token(self, session: str) -> str:
        """See `Scene`."""
        record = json.loads((self._port_file(session).parent / "state.json").read_text())
        return broker_token(self._servers_token(session), session, record["start"])

    async def meet(self, session: str) -> None:
        """See `Scene`."""
        self._agent = Gate("agent", "127.0.0.1", int(self._port_file(session).read_text()))

    async def facts(self, session: str) -> Facts:
        """See `Scene`."""
        raise AttackError("on loopback sandboxes are processes of this machine, without walls")

    async def inside(self, session: str, server: bool, order: Mapping[str, Any]) -> list[str]:
        """See `Scene`."""
        raise AttackError("on loopback sandboxes are processes of this machine, without walls")

    async def quota(self) -> Quota:
        """See `Scene`: nobody watches the disk of processes."""
        raise AttackError("processes on this machine have no quota")

    async def run_inside(self, session: str, program: str, *, user: str = AGENT, leave: bool = False) -> None:
        """See `Scene`."""
        raise AttackError("processes on this machine have no inside")

    async def logged(self, session: str) -> int:
        """See `Scene`."""
        raise AttackError("processes on this machine have no log of their own")

    async def stored_mib(self) -> float:
        """See `Scene`."""
        files = [path.stat().st_size for path in (self._folder / "blobs").rglob("*") if path.is_file()]
        return sum(files) / 2**20

    async def processes(self) -> Mapping[str, int]:
        """See `Scene`."""
        return {gateway.name: gateway.pid for gateway in self._processes.gateways}

    async def attackers_cpu(self) -> float:
        """See `Scene`."""
        return children_cpu()

    async def log_from_now(self) -> Callable[[], Awaitable[bytes]]:
        """See `Scene`."""
        logs = sorted(self._folder.glob("gateway-*.log"))
        sizes = [log.stat().st_size for log in logs]

        async def written() -> bytes:
            return b"".join(log.read_bytes()[size:] for log, size in zip(logs, sizes, strict=True))

        return written

    @asynccontextmanager
    async def hostile(self, session: str, order: Mapping[str, Any]) -> AsyncIterator[None]:
        """See `Scene`: the sandbox goes on, and its port is said to be the hostile server's."""
        bounded("seconds", order["seconds"], LONG_SECONDS)
        told = {"host": "127.0.0.1", "token": self._servers_token(session), **order}
        async with started((), "hostile", told) as process:
            async with asyncio.timeout(ANNOUNCE_SECONDS):
                port = (await outcome(process))["port"]
            file = self._port_file(session)
            try:
                good = file.read_text()
                file.write_text(f"{port}\n")
            except OSError as error:
                raise AttackError(f"the attacker's sandbox is not there: {error}") from error
            try:
                yield
            finally:
                if file.exists() and file.read_text() == f"{port}\n":
                    file.write_text(good)

    def _servers_token(self, session: str) -> str:
        """What a gateway shows the session's agent server, and that has to know."""
        return sandbox_token(self._processes.sandbox_secret.encode(), session)

    def _port_file(self, session: str) -> Path:
        return self._processes.disk.root / session / "port"
