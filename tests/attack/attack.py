"""What one attack is: its name, its size, and what it found out beside what good users noticed."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.attack.force.material import request
from tests.attack.scene import Gate, Scene
from tests.chaos.api import Api
from tests.chaos.reader import Net, WebSocketReader

MALLORY = "mallory"


@dataclass(frozen=True)
class Size:
    """How much of the full count, and how many seconds."""

    scale: float = 1.0
    seconds: float = 8.0

    def of(self, count: int) -> int:
        """The count at this scale."""
        return max(1, round(count * self.scale))


@dataclass
class Found:
    """What an attacker got to see, in few words, and what of it is wrong."""

    said: str
    faults: list[str] = field(default_factory=list)


@dataclass
class Field:
    """Where an attack takes place: the scene, the attacker's own way in, and his sessions."""

    scene: Scene
    http: aiohttp.ClientSession
    size: Size

    @property
    def headers(self) -> Mapping[str, str]:
        """The attacker is a user like others."""
        return self.scene.headers(MALLORY)

    @property
    def api(self) -> Api:
        """What he does as a user like others."""
        return Api(self.net)

    @property
    def net(self) -> Net:
        """His way in when he behaves."""
        return Net(self.http, lambda: self.scene.nets[0].urls(), self.headers)

    @property
    def people(self) -> Gate:
        """Where people come in."""
        gates = self.scene.gates
        return gates.get("proxy") or gates["public"]

    @asynccontextmanager
    async def session(self, *, warm: bool = False) -> AsyncIterator[str]:
        """A session of the attacker's; `warm`: with a sandbox that runs. It is deleted at the end."""
        session = await self.api.new_session()
        try:
            if warm:
                reader = WebSocketReader(
                    self.net, session, "attacker", prompt="echo here", message_id=f"m-{secrets.token_hex(8)}"
                )
                await reader.read()
            yield session
        finally:
            await self.api.delete(session)

    def post(self, target: str, body: bytes, headers: Mapping[str, str] | None = None) -> str:
        """A whole request of the attacker's, as text for a force."""
        head = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
        return request("POST", target, head, body).decode("latin-1")


@dataclass(frozen=True)
class Attack:
    """`work` makes it, for `Size.seconds` or for what it says itself. `gate`: which listener must be there."""

    family: str
    name: str
    gate: str
    work: Callable[[Field], Awaitable[Found]]

    @property
    def full_name(self) -> str:
        """`family: name`, as tables have it."""
        return f"{self.family}: {self.name}"


def counted(found: Mapping[str, Any]) -> str:
    """The counts by name, the largest first."""
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return ", ".join(f"{count} x {name}" for name, count in ordered) or "none"
