"""What is attacked: the `Scene` protocol, and the small things that it is told in."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from tests.attack.inside.facts import Facts
from tests.chaos.child import ROOT
from tests.chaos.reader import Net

ANSWER_SECONDS = 200.0
"""Longer than any force may take."""

END_SECONDS = 10.0

AGENT = "10001"
"""The uid of the agent in its sandbox, and of all that it starts."""


class AttackError(Exception):
    """An attack could not be made at all; the message says why."""


@dataclass(frozen=True)
class Gate:
    """A listener as an attacker reaches it. `place`: what goes before a command so that it runs where the attacker is
    (empty: this machine)."""

    name: str
    host: str
    port: int
    place: tuple[str, ...] = ()


@dataclass(frozen=True)
class Quota:
    """What a session may have on the disk, MiB and files, and the minutes after which an idle sandbox is put away."""

    mb: int
    inodes: int
    idle_minutes: float


class Scene(Protocol):
    """A running VaporForge, as its attackers see it, and as those see it who measure."""

    notes: list[str]

    @property
    def gates(self) -> Mapping[str, Gate]:
        """`public`, `broker`, `agent` (of the first good user), and what else there is: `proxy`, `launcher`.

        `blobs`: idle sandboxes are put away within the time of an attack.
        """

    @property
    def nets(self) -> Sequence[Net]:
        """Ways in for good users, one each."""

    @property
    def health(self) -> Sequence[str]:
        """The gateways, to be asked for their health each by itself."""

    @property
    def front(self) -> str:
        """Where people come in."""

    @property
    def elsewhere(self) -> tuple[aiohttp.ClientSession, str]:
        """Who comes in from an address that no attacker has, and where."""

    def headers(self, user: str) -> Mapping[str, str]:
        """What signs this user in."""

    async def sandbox_token(self, session: str) -> str:
        """What a session's sandbox shows the broker."""

    async def meet(self, session: str) -> None:
        """Learn where the first good user's sandbox is."""

    async def facts(self, session: str) -> Facts:
        """What is to be known in the session's sandbox, where `inside` is a gate."""

    async def inside(self, session: str, server: bool, order: Mapping[str, Any]) -> list[str]:
        """What a probe could do in the session's sandbox, with the rights of the agent or of its server."""

    async def quota(self) -> Quota:
        """What sessions may have, where `inside` is a gate. Raises `AttackError` where that is too much to be tried."""

    async def run_inside(self, session: str, program: str, *, user: str = AGENT, leave: bool = False) -> None:
        """Run a Python program in the session's sandbox; `leave`: it is not waited for."""

    async def logged(self, session: str) -> int:
        """Bytes that the engine keeps of what the session's container has written to its log."""

    async def stored_mib(self) -> float:
        """What snapshots take, where `blobs` is a gate."""

    async def processes(self) -> Mapping[str, int]:
        """The id of every service that runs for long, by name; those whose processes are seen from here."""

    async def attackers_cpu(self) -> float:
        """Seconds that attackers' processes have computed so far; those of ended ones on this machine."""

    async def log_from_now(self) -> Callable[[], Awaitable[bytes]]:
        """Call it for what the services have written from now to then."""

    def hostile(self, session: str, order: Mapping[str, Any]) -> AbstractAsyncContextManager[None]:
        """In this block the session's sandbox runs a hostile agent server (`force.hostile`)."""


def children_cpu() -> float:
    """Seconds that this process's children computed, of those that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def exert(gate: Gate, force: str, **order: Any) -> dict[str, Any]:
    """Let a force work on a gate, and say what came of it. Raises AttackError when it could not."""
    async with started(gate.place, force, {"host": gate.host, "port": gate.port, **order}) as process:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await outcome(process)


@asynccontextmanager
async def started(
    place: Sequence[str], force: str, order: Mapping[str, Any]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A force at work; at the end of the block it is ended by its id. It ends with its stdin, wherever it runs."""
    python = ["python3"] if place else [sys.executable]
    process = await asyncio.create_subprocess_exec(
        *place,
        *python,
        "-m",
        "tests.attack.force",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=None,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps([force, dict(order)]).encode() + b"\n")
        await process.stdin.drain()
        yield process
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def outcome(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """The next thing that a force says."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    said: dict[str, Any] = json.loads(line) if line else {"failed": "it ended without a word"}
    if "failed" in said:
        raise AttackError(said["failed"])
    return said
