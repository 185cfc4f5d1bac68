"""No Autobahn case goes worse with our WebSocket endpoints than with bare aiohttp, as server and as client."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from yarl import URL

from container.protocol import sandbox_token
from gateway.sandboxes.drivers import Sandbox
from gateway.sandboxes.upstream import dial
from gateway.web.streams.browser_connection import browser_socket
from gateway.websocket import frames
from gateway.websocket.frames import is_text
from gateway.websocket.messages import Binary, Messages
from gateway.websocket.pace import Pace
from tests import conformance
from tests.conformance import Results
from tests.gateway.stack import SECRET, Stack, read_until
from tests.gateway.websocket.memory import MemoryTransport, texts_of
from tests.hostile import HostileSandbox, HostileStack
from tests.tunnel import Target, tunnel, with_header, with_path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PEERS = 6
"""Sessions that the cases share: one case at a time has a session to itself."""


@pytest_asyncio.fixture
async def stack(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(dynamodb_endpoint, f"t{uuid4().hex}", tmp_path) as stack:
        yield stack


@pytest.fixture(scope="module")
def aiohttp_as_server() -> Results:
    return asyncio.run(_aiohttp_as_server())


async def _aiohttp_as_server() -> Results:
    app = web.Application()
    app.router.add_get("/", conformance.reference_server)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return await conformance.run_against_echo(f"ws://127.0.0.1:{runner.addresses[0][1]}/")
    finally:
        await runner.cleanup()


class EchoingRelays:
    """Sessions whose relay has a peer that sends back what it gets; a session serves one connection at a time."""

    def __init__(self, stack: Stack, *, direct: bool) -> None:
        self._stack = stack
        self._direct = direct
        self._free: asyncio.Queue[Sandbox] = asyncio.Queue()

    async def open(self, exit_stack: AsyncExitStack) -> None:
        driver = self._stack.gateways[0].runs.driver
        sandboxes = await asyncio.gather(*[self._wake(driver) for _ in range(PEERS)])
        for sandbox in sandboxes:
            socket = await exit_stack.enter_async_context(self._peer(sandbox))
            echoing = asyncio.create_task(conformance.echo(socket))
            exit_stack.callback(echoing.cancel)
            self._free.put_nowait(sandbox)

    async def _wake(self, driver: object) -> Sandbox:
        return await self._stack.gateways[0].runs.driver.ensure(await self._stack.session())

    def _peer(self, sandbox: Sandbox) -> aiohttp.client._WSRequestContextManager:
        return self._stack.http.ws_connect(
            sandbox.url + "/relay", headers=bearer(sandbox), max_msg_size=conformance.MESSAGE_LIMIT
        )

    @asynccontextmanager
    async def lend(self, head: bytes) -> AsyncIterator[Target]:
        """A session's relay for one connection, by the gateway or directly at its agent server."""
        sandbox = await self._free.get()
        try:
            if self._direct:
                target = with_header(
                    with_path(head, "/relay"), "Authorization", bearer(sandbox)["Authorization"]
                )
                yield Target(sandbox.host, sandbox.port, target)
            else:
                url = URL(self._stack.url)
                assert url.host
                assert url.port
                target = with_path(head, f"/relay?sessionId={sandbox.session}")
                authorization = self._stack.headers()["Authorization"]
                yield Target(url.host, url.port, with_header(target, "Authorization", authorization))
        finally:
            await self._settle(sandbox)
            self._free.put_nowait(sandbox)

    async def _settle(self, sandbox: Sandbox) -> None:
        """Wait until nothing of the case is under way: only the echo is connected, and it has echoed all."""
        pause = 0.002
        async with asyncio.timeout(60):
            while await self._connections(sandbox) > 1:
                await asyncio.sleep(pause)
                pause = min(0.1, pause * 2)
        nonce = uuid4().hex
        async with self._peer(sandbox) as socket:
            await socket.send_str(nonce)
            async with asyncio.timeout(60):
                while (await socket.receive()).data != nonce:
                    pass

    async def _connections(self, sandbox: Sandbox) -> int:
        async with self._stack.http.get(sandbox.url + "/ping", headers=bearer(sandbox)) as response:
            return int((await response.json())["connections"])


def show(results: str) -> None:
    """For who runs pytest with -s, and for the report of a failure."""
    sys.stdout.write(f"\n{results}\n")


def bearer(sandbox: Sandbox) -> dict[str, str]:
    return {"Authorization": f"Bearer {sandbox_token(SECRET.encode(), sandbox.session)}"}


async def relay_results(stack: Stack, *, direct: bool) -> Results:
    async with AsyncExitStack() as exit_stack:
        relays = EchoingRelays(stack, direct=direct)
        await relays.open(exit_stack)
        port = await exit_stack.enter_async_context(tunnel(relays.lend))
        return await conformance.run_against_echo(f"ws://127.0.0.1:{port}/", concurrency=PEERS)


async def test_the_relays_as_servers(stack: Stack, aiohttp_as_server: Results) -> None:
    agent_server = await relay_results(stack, direct=True)
    gateway = await relay_results(stack, direct=False)
    show(
        conformance.table(
            {"aiohttp": aiohttp_as_server, "agent server /relay": agent_server, "gateway relay": gateway}
        )
    )
    assert len(aiohttp_as_server) == 301
    assert conformance.worse(aiohttp_as_server, agent_server) == []
    assert conformance.worse(aiohttp_as_server, gateway) == []


async def test_the_run_endpoints_as_servers(stack: Stack, aiohttp_as_server: Results) -> None:
    """They echo nothing; judged is that each violation is answered with the right close, each ping by its pong."""
    session = await stack.session()
    async with stack.connect(session, prompt="count to 9 every 60000 ms") as socket:
        run = (await read_until(socket, "text-delta"))[-1]["run"]
    sandbox = await stack.gateways[0].runs.driver.ensure(session)
    cases = conformance.violations(aiohttp_as_server)
    gateway = await _attached(
        stack.url,
        f"/api/sdk/ws?sessionId={session}&run={run}",
        stack.headers()["Authorization"],
        aiohttp_as_server,
    )
    agent_server = await _attached(
        sandbox.url, f"/ws?run={run}&attach=1", bearer(sandbox)["Authorization"], aiohttp_as_server
    )
    await stack.post("/api/sdk/stop", {"sessionId": session})
    assert await stack.final(session, run) == "stopped"
    show(
        conformance.table(
            {
                "aiohttp": {case: aiohttp_as_server[case] for case in cases},
                "agent server /ws": agent_server,
                "gateway /api/sdk/ws": gateway,
            },
            shown=lambda result: result.ending,
        )
    )
    assert len(cases) > 80
    assert conformance.worse_without_echo(aiohttp_as_server, agent_server) == []
    assert conformance.worse_without_echo(aiohttp_as_server, gateway) == []


async def _attached(base: str, path: str, authorization: str, reference: Results) -> Results:
    url = URL(base)

    @asynccontextmanager
    async def choose(head: bytes) -> AsyncIterator[Target]:
        assert url.host
        assert url.port
        yield Target(url.host, url.port, with_header(with_path(head, path), "Authorization", authorization))

    async with tunnel(choose) as port:
        return await conformance.run_violations_against_server(f"ws://127.0.0.1:{port}/", reference)


async def test_a_recorders_connection_to_a_hostile_server() -> None:
    """As it reads an agent server, but for binary messages and the limit; it echoes, so that all can be judged."""
    reference = await conformance.run_against_client(conformance.reference_client)

    async def run_case(base: str, number: int) -> None:
        async with await dialled(base, number, binary=True) as upstream:
            async for message in upstream:
                op = frames.Op.BINARY if isinstance(message, Binary) else frames.Op.TEXT
                with contextlib.suppress(ConnectionError):
                    await upstream.send(frames.frame(op, message, masked=True))

    ours = await conformance.run_against_client(run_case)
    show(conformance.table({"aiohttp": reference, "recorder": ours}))
    assert conformance.worse(reference, ours) == []


async def test_a_followers_connection_to_a_hostile_server() -> None:
    """What it forwards is one valid stream of whole messages, whatever the suite does."""
    reference = await conformance.run_against_client(conformance.reference_client)

    async def run_case(base: str, number: int) -> None:
        browser, transport = browser_socket("s", Pace(), 10), MemoryTransport()
        browser.begin(transport)
        async with await dialled(base, number) as upstream:
            await upstream.forward(browser, lambda _: True)
        assert all(is_text(text) for text in texts_of(bytes(transport.written)))
        transport.close()
        await browser.lost

    cases = conformance.violations(reference)
    ours = await conformance.run_against_client(run_case, cases=cases)
    show(
        conformance.table(
            {
                "aiohttp": {case: reference[case] for case in cases},
                "follower": ours,
            },
            shown=lambda result: result.ending,
        )
    )
    assert len(cases) > 80
    assert conformance.worse_without_echo(reference, ours) == []


async def dialled(base: str, number: int, *, binary: bool = False) -> Messages:
    """A connection of ours, in the place of whose agent server the suite is."""
    url = URL(base)
    assert url.host
    assert url.port
    limit = conformance.MESSAGE_LIMIT
    upstream = Messages(server=False, limit=limit, pace=Pace(), name="upstream", binary=binary)
    await dial(upstream, url.host, url.port, f"/runCase?case={number}&agent=test", {})
    return upstream


async def test_the_gateway_as_the_client_of_a_hostile_relay(dynamodb_endpoint: str, tmp_path: Path) -> None:
    """The suite is the sandbox; the browser at the other end of the gateway's relay echoes."""
    reference = await conformance.run_against_client(conformance.reference_client)
    suite: dict[str, Target] = {}
    sandbox = HostileSandbox(
        lambda session, head: Target(
            suite[session].host, suite[session].port, with_path(head, suite[session].head.decode())
        )
    )
    async with (
        tunnel(sandbox.choose) as port,
        HostileStack(dynamodb_endpoint, f"t{uuid4().hex}", tmp_path, port, sessions_per_hour=0) as stack,
    ):

        async def run_case(base: str, number: int) -> None:
            session = await stack.session()
            suite[session] = _address(base, f"/runCase?case={number}&agent=test")
            async with stack.http.ws_connect(
                f"{stack.url}/relay?sessionId={session}",
                headers=stack.headers(),
                max_msg_size=conformance.MESSAGE_LIMIT,
            ) as socket:
                await conformance.echo(socket)

        gateway = await conformance.run_against_client(run_case)
        assert await stack.get("/api/version")
    show(conformance.table({"aiohttp": reference, "gateway relay": gateway}))
    assert len(reference) == 301
    assert conformance.worse(reference, gateway) == []


def _address(base: str, path: str) -> Target:
    url = URL(base)
    assert url.host
    assert url.port
    return Target(url.host, url.port, path.encode())
