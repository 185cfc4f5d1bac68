"""The `Scene` that is a docker stack deployed on this machine: its published port, and its listeners from inside."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Self

import aiohttp
from docker.errors import APIError
from docker.models.containers import Container
from yarl import URL

from container.protocol import AGENT_PORT, broker_token
from tests.attack.attack import MALLORY
from tests.attack.containers import attacker, beside, place
from tests.attack.inside.containers import facts_of, probed
from tests.attack.inside.facts import Facts
from tests.attack.scene import AGENT, AttackError, Gate, Quota, children_cpu, outcome, started
from tests.chaos.child import ROOT
from tests.chaos.reader import Net, client
from tests.chaos.stack import DockerStack, StackError

PUBLIC_PORT, BROKER_PORT, LAUNCHER_PORT = 8080, 8081, 8090
ROLES = ("gateway", "proxy", "launcher")
GOOD = ("good-0", "good-1")
ANNOUNCE_SECONDS = 30.0
MOST_MB, MOST_INODES = 1024, 20_000
"""What sessions of a stack may have at most, so that to try it does this machine no harm."""


class AttackedStack(DockerStack):
    """With a token for each user, made by `scripts/token`."""

    async def __aenter__(self) -> Self:
        if not os.environ.get("DOCKER_HOST", "unix://").startswith("unix://"):
            raise StackError(
                "DOCKER_HOST is another machine's engine: only a stack on this machine is attacked"
            )
        self._jwts: dict[str, str] = {}
        await super().__aenter__()
        if URL(self.url()).host not in ("127.0.0.1", "localhost", "::1"):
            raise StackError(f"the stack is published at {self.url()}; only one on loopback is attacked")
        for user in (*GOOD, MALLORY):
            self._jwts[user] = await self.in_thread(self._token_of, user)
        return self

    def token(self, user: str) -> str:
        """See `Target`."""
        return self._jwts[user]

    def _token_of(self, user: str) -> str:
        command = [str(ROOT / "scripts/token"), "--stack", self._name, "--sub", user]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"no token for {user}: {done.stderr.strip()}")
        return done.stdout.strip()

    @property
    def engine(self) -> Any:
        """The Docker SDK's client."""
        return self._engine

    @property
    def name(self) -> str:
        """As `scripts/up --stack` has it."""
        return self._name


class Deployed:
    """Use it as an async context manager: the containers that attackers sit in are removed at its end."""

    def __init__(self, stack: AttackedStack, http: aiohttp.ClientSession) -> None:
        self.notes: list[str] = []
        self._stack = stack
        self._http = http
        self._made: list[Container] = []
        self._gates: dict[str, Gate] = {}
        self._gateways: list[Container] = []
        self._exit = AsyncExitStack()
        self._elsewhere: tuple[aiohttp.ClientSession, str]

    async def __aenter__(self) -> Self:
        self._gateways = await self._stack.parts("gateway")
        [proxy, *_] = await self._stack.parts("proxy")
        [public, *_] = addresses(proxy)
        url = URL(self._stack.url())
        self._gates["proxy"] = Gate("proxy", "127.0.0.1", url.port or 0)
        self._gates["public"] = Gate("public", addresses(self._gateways[0])[public], PUBLIC_PORT)
        self._health = [f"http://{addresses(one)[public]}:{PUBLIC_PORT}" for one in self._gateways]
        # Who calls the published port, or from this machine a container, has the address of that container's network.
        http = await self._exit.enter_async_context(client(address_outside()))
        self._elsewhere = http, f"http://{addresses(proxy)[public]}:{PUBLIC_PORT}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()
        for container in self._made:
            with suppress(APIError):  # with a sandbox that has ended it ended too
                await self._stack.in_thread(container.remove, force=True)

    @property
    def gates(self) -> Mapping[str, Gate]:
        """See `Scene`. What is to be learned in `meet` stands there without an address before."""
        later = {name: Gate(name, "", 0) for name in ("broker", "agent", "launcher", "inside")}
        return {**later, **self._gates}

    @property
    def nets(self) -> Sequence[Net]:
        """See `Scene`: all by the published port."""
        return [Net(self._http, self._stack.url, self.headers(user)) for user in GOOD]

    @property
    def health(self) -> Sequence[str]:
        """See `Scene`."""
        return self._health

    @property
    def front(self) -> str:
        """See `Scene`."""
        return self._stack.url()

    @property
    def elsewhere(self) -> tuple[aiohttp.ClientSession, str]:
        """See `Scene`: at the proxy itself, from the address that this machine has in the world."""
        return self._elsewhere

    def headers(self, user: str) -> Mapping[str, str]:
        """See `Scene`."""
        return {"Authorization": f"Bearer {self._stack.token(user)}"}

    async def sandbox_token(self, session: str) -> str:
        """See `Scene`: as the sandbox itself makes it."""
        told = _told_sandbox(await self._sandbox(session))
        return broker_token(told["VF_SANDBOX_TOKEN"], told["VF_SESSION"], told["VF_START"])

    async def meet(self, session: str) -> None:
        """See `Scene`; and sit down where sandboxes are, and where the launcher is."""
        sandbox = await self._sandbox(session)
        [launcher, *_] = await self._stack.parts("launcher")
        await self._stack.in_thread(self._gateways[0].reload)  # it has joined the sandbox's network since
        gateway = addresses(self._gateways[0])
        inside = next(name for name in addresses(sandbox) if name in gateway)
        [control, *_] = addresses(launcher)
        within = await self._sit(str(sandbox.attrs["Image"]), inside)
        beyond = await self._sit(str(sandbox.attrs["Image"]), control)
        for gate in (
            Gate("broker", gateway[inside], BROKER_PORT, within),
            Gate("agent", addresses(sandbox)[inside], AGENT_PORT, within),
            Gate("launcher", addresses(launcher)[control], LAUNCHER_PORT, beyond),
        ):
            self._gates[gate.name] = gate

    async def facts(self, session: str) -> Facts:
        """See `Scene`."""
        return await self._stack.in_thread(facts_of, self._stack, await self._sandbox(session))

    async def inside(self, session: str, server: bool, order: Mapping[str, Any]) -> list[str]:
        """See `Scene`: a process of its own in the container, under the one's uid or the other's."""
        return await self._stack.in_thread(probed, await self._sandbox(session), server, order)

    async def stored_mib(self) -> float:
        """See `Scene`: of the volume that the gateways keep them on."""
        folder = (await self._told("gateway"))["VF_BLOBS"].removeprefix("folder:")
        done: Any = await self._stack.in_thread(self._gateways[0].exec_run, ["du", "-s", "-m", folder])
        return float(done.output.split()[0])

    async def quota(self) -> Quota:
        """See `Scene`."""
        launcher, gateway = await self._told("launcher"), await self._told("gateway")
        quota = Quota(
            int(launcher["VF_SANDBOX_DISK_MB"]),
            int(launcher["VF_SANDBOX_INODES"]),
            float(gateway["VF_IDLE_MINUTES"]),
        )
        if not (0 < quota.mb <= MOST_MB and 0 < quota.inodes <= MOST_INODES):
            raise AttackError(
                f"give the stack a sandboxDiskMb of {MOST_MB} and sandboxInodes of {MOST_INODES} at most: its disk is "
                "this machine's"
            )
        return quota

    async def run_inside(self, session: str, program: str, *, user: str = AGENT, leave: bool = False) -> None:
        """See `Scene`."""
        argv = ["/opt/venv/bin/python", "-I", "-c", program]
        sandbox = await self._sandbox(session)
        done: Any = await self._stack.in_thread(sandbox.exec_run, argv, user=user, detach=leave)
        if done.exit_code:
            raise AttackError(f"a program in the sandbox failed: {done.output.decode()[-200:]}")

    async def logged(self, session: str) -> int:
        """See `Scene`."""
        kept: bytes = await self._stack.in_thread((await self._sandbox(session)).logs)
        return len(kept)

    async def _told(self, role: str) -> Mapping[str, str]:
        """The environment of a part of the stack."""
        [part, *_] = await self._stack.parts(role)
        return dict(line.split("=", 1) for line in part.attrs["Config"]["Env"])

    async def processes(self) -> Mapping[str, int]:
        """See `Scene`."""
        found = {}
        for role in ROLES:
            for container in await self._stack.parts(role):
                found[str(container.name)] = int(container.attrs["State"]["Pid"])
        return found

    async def attackers_cpu(self) -> float:
        """See `Scene`: those in containers too."""
        inside = 0.0
        for container in self._made:
            with suppress(APIError):  # with a sandbox that has ended it ended too
                stats: Any = await self._stack.in_thread(container.stats, stream=False, one_shot=True)
                inside += stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
        return children_cpu() + inside

    async def log_from_now(self) -> Callable[[], Awaitable[bytes]]:
        """See `Scene`."""
        since = time.time()
        containers = [one for role in ROLES for one in await self._stack.parts(role)]

        async def written() -> bytes:
            logs = [await self._stack.in_thread(one.logs, since=since) for one in containers]
            return b"".join(logs)

        return written

    @asynccontextmanager
    async def hostile(self, session: str, order: Mapping[str, Any]) -> AsyncIterator[None]:
        """See `Scene`: the agent server is halted, and another process answers on its socket."""
        sandbox = await self._sandbox(session)
        taker = await self._stack.in_thread(beside, self._stack.engine, sandbox, self._stack.name)
        self._made.append(taker)
        async with started(
            place(taker),
            "hostile",
            {
                "host": "127.0.0.1",
                "takeover": True,
                "token": _told_sandbox(sandbox)["VF_SANDBOX_TOKEN"],
                **order,
            },
        ) as process:
            async with asyncio.timeout(ANNOUNCE_SECONDS):
                await outcome(process)
            yield

    async def _sandbox(self, session: str) -> Container:
        container = await self._stack.sandbox(session)
        if container is None:
            raise AttackError(f"no sandbox of session {session} runs")
        return container

    async def _sit(self, image: str, network: str) -> tuple[str, ...]:
        made = await self._stack.in_thread(
            attacker, self._stack.engine, image, self._stack.name, network=network, cap_drop=["ALL"]
        )
        self._made.append(made)
        return place(made)


def _told_sandbox(container: Container) -> Mapping[str, str]:
    """A sandbox's environment, the agent server's token in it. Raises `AttackError`."""
    told = dict(line.split("=", 1) for line in container.attrs["Config"]["Env"])
    if not (told.get("VF_SANDBOX_TOKEN") and told.get("VF_START")):
        raise AttackError("the sandbox has no token, or its start no name, in its environment")
    return told


def addresses(container: Container) -> Mapping[str, str]:
    """A container's address in each of its networks."""
    networks = container.attrs["NetworkSettings"]["Networks"]
    return {name: str(joined["IPAddress"]) for name, joined in networks.items()}


def address_outside() -> str:
    """The one that this machine calls others from: not of the engine's networks, which the engine would put its own
    for. Raises AttackError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))  # of nobody (RFC 5737), and nothing is sent
        except OSError as error:
            raise AttackError(
                f"this machine has no address from which somebody else could come: {error}"
            ) from error
        return str(asked.getsockname()[0])


def attacked_stack(name: str) -> AttackedStack:
    """The stack of this name on this machine's engine."""
    return AttackedStack(name, 0)
