"""What a sandbox of a deployed stack reaches: the gateways' broker. What it learns of others, and what stays behind it:
nothing. Gateways that an update makes are there for those that run."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from docker.errors import NotFound

from tests.e2e.test_replicas import LONG, reader, session_of
from tests.gateway.stack import assert_whole, read_all, read_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import aiohttp
    from docker.models.containers import Container

    from tests.e2e.deployed import Deployed

pytestmark = [pytest.mark.docker, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

PYTHON = "/opt/venv/bin/python"

REACH = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def reach(place):
    try:
        socket.create_connection(tuple(place), 3).close()
    except OSError as error:
        return repr(error)
    return "reached"

with ThreadPoolExecutor(32) as pool:
    print(json.dumps(list(pool.map(reach, json.loads(sys.argv[1])))))
"""
"""What becomes of a connection to each `[host, port]`."""

NAMES = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def name(address):
    try:
        return [address, *socket.gethostbyaddr(address)[:2]]
    except OSError:
        return None

with ThreadPoolExecutor(64) as pool:
    print(json.dumps([found for found in pool.map(name, json.loads(sys.argv[1])) if found]))
"""
"""What is known of each address."""

CALLING = """
import os, time, urllib.error, urllib.request

tried = failed = 0
while not os.path.exists("/tmp/enough"):
    tried += 1
    try:
        urllib.request.urlopen("http://gateway:8081/", timeout=10)
    except urllib.error.HTTPError:
        pass
    except OSError as error:
        failed += 1
        print(repr(error))
    time.sleep(0.2)
print(tried, failed)
"""
"""A program of the agent's that calls the broker all the while, whatever it answers."""


async def started(http: aiohttp.ClientSession, stack: Deployed) -> str:
    """A session with a sandbox that has answered."""
    session = await session_of(http, stack)
    query = {"sessionId": session, "prompt": "Create a file called a.txt in /workspace with 'mine'"}
    async with http.ws_connect(f"{stack.url}/api/sdk/ws", params=query) as socket:
        assert_whole(await read_all(socket))
    return session


def asked(sandbox: Container, script: str, argument: Any) -> Any:
    """What a script in the sandbox finds, as the agent's own user."""
    status, output = sandbox.exec_run([PYTHON, "-c", script, json.dumps(argument)], user="10001")
    assert isinstance(output, bytes)
    assert status == 0, output
    return json.loads(output)


def addresses(containers: Sequence[Container]) -> Iterator[tuple[str, str, str]]:
    """Container, network and address of each of them in each of its networks."""
    for container in containers:
        container.reload()
        for network, joined in container.attrs["NetworkSettings"]["Networks"].items():
            if joined["IPAddress"]:
                yield str(container.name), network, joined["IPAddress"]


@contextlib.contextmanager
def dev_server(sandbox: Container) -> Iterator[int]:
    """A server as a developer starts one, on all addresses of its sandbox; gives its port once it listens."""
    sandbox.exec_run([PYTHON, "-m", "http.server", "3000"], user="10001", detach=True)
    for _ in range(100):
        if asked(sandbox, REACH, [["127.0.0.1", 3000]]) == ["reached"]:
            break
    yield 3000


async def test_a_sandbox_reaches_the_broker_and_nothing_else_and_learns_no_name(demo_stack: Deployed) -> None:
    async with reader() as http, reader() as other:
        mine, theirs = await started(http, demo_stack), await started(other, demo_stack)
        await asyncio.to_thread(_look_around, demo_stack, mine, theirs)


def _look_around(stack: Deployed, mine: str, theirs: str) -> None:
    sandbox, victim = stack.sandbox(mine), stack.sandbox(theirs)
    [[_, own, _]] = addresses([sandbox])
    gateways = stack.containers("vaporforge.role=gateway")
    everybody = list(addresses(stack.containers()))

    # The victim's own ports, which it reaches itself.
    [[_, _, there]] = addresses([victim])
    with dev_server(victim) as port:
        assert asked(victim, REACH, [[there, port], [there, 8765]]) == ["reached"] * 2
        found = asked(sandbox, REACH, [[there, port], [there, 8765]])
        assert "reached" not in found, found

    # Of a gateway the broker alone, and on no network but its own; the launcher, the table and the proxy neither.
    beside = [address for _, network, address in everybody if network == own]
    at_gateways = [address for _, network, address in addresses(gateways) if network == own]
    assert len(at_gateways) == len(gateways) == 2
    assert (
        asked(sandbox, REACH, [[address, 8081] for address in [*at_gateways, "gateway"]]) == ["reached"] * 3
    )
    closed = [[address, port] for address in at_gateways for port in (22, 80, 8080, 8090, 8765)]
    elsewhere = [
        [address, port]
        for _, network, address in everybody
        if network != own
        for port in (8000, 8080, 8081, 8090, 8765)
    ]
    around = ipaddress.ip_network(f"{there}/24", strict=False)
    neighbours = [[str(address), 8765] for address in around.hosts() if str(address) not in beside]
    found = asked(sandbox, REACH, [*closed, *elsewhere, *neighbours])
    assert "reached" not in found, [place for place, end in zip(closed + elsewhere, found, strict=False)]

    # Nobody has a name there but itself and the gateways.
    ours = {str(item) for network in own_networks(stack, own) for item in network}
    theirs_too = [address for _, _, address in everybody]
    named = asked(sandbox, NAMES, sorted({*ours, *theirs_too, *(place[0] for place in neighbours)}))
    assert {address for address, *_ in named} - {"127.0.0.1"} <= set(beside)
    assert theirs not in str(named)
    for name in ("launcher", "dynamodb", "proxy", str(victim.name), str(victim.id)[:12]):
        status, output = sandbox.exec_run(["getent", "hosts", name], user="10001")
        assert status != 0, output


def own_networks(stack: Deployed, name: str) -> list[ipaddress.IPv4Network]:
    network = stack.engine.networks.get(name)
    return [ipaddress.IPv4Network(item["Subnet"]) for item in network.attrs["IPAM"]["Config"]]


async def test_the_gateways_of_an_update_are_there_for_sandboxes_that_run(demo_stack: Deployed) -> None:
    def gateways() -> set[str | None]:
        return {container.id for container in demo_stack.containers("vaporforge.role=gateway")}

    before = gateways()
    async with reader() as http, reader() as idle:
        # One that nobody uses meanwhile, whose background job calls the broker; and one in mid-answer.
        resting = demo_stack.sandbox(await started(idle, demo_stack))
        calling = asyncio.create_task(
            asyncio.to_thread(resting.exec_run, [PYTHON, "-c", CALLING], user="10001")
        )
        session = await session_of(http, demo_stack)
        query = {"sessionId": session, "prompt": LONG}
        async with http.ws_connect(f"{demo_stack.url}/api/sdk/ws", params=query) as socket:
            seen = await read_until(socket, "text-delta", 5)
        run = next(frame["run"] for frame in seen if frame["type"] == "run")
        await asyncio.to_thread(demo_stack.up, "--set", f"queueLimit={secrets.randbelow(5) + 9}")
        assert not gateways() & before
        again = {"sessionId": session, "run": run, "after": "0"}
        async with http.ws_connect(f"{demo_stack.url}/api/sdk/ws", params=again) as socket:
            frames = await read_until(socket, "text-delta", 50)
            reading = asyncio.create_task(read_all(socket))
            async with http.post(f"{demo_stack.url}/api/sdk/stop", json={"sessionId": session}) as stopped:
                assert stopped.status < 300, await stopped.text()
            assert_whole(frames + await reading, "stopped")
        done = await asyncio.to_thread(resting.exec_run, ["touch", "/tmp/enough"], user="10001")
        assert done.exit_code == 0, done.output
        status, output = await calling
        assert isinstance(output, bytes)
        assert status == 0, output
        *errors, counts = output.decode().splitlines()
        tried, failed = map(int, counts.split())
        assert tried > 20
        assert failed == 0, errors


async def test_its_network_goes_with_a_sandbox_and_comes_back_with_it(demo_stack: Deployed) -> None:
    async with reader() as http:
        session = await started(http, demo_stack)
        [[_, own, _]] = addresses([demo_stack.sandbox(session)])
        assert session not in own
        async with http.delete(f"{demo_stack.url}/api/sessions/{session}") as deleted:
            assert deleted.status < 300
        async with asyncio.timeout(60):
            with contextlib.suppress(NotFound):
                while True:
                    await asyncio.to_thread(demo_stack.engine.networks.get, own)
                    await asyncio.sleep(0.1)
        for gateway in demo_stack.containers("vaporforge.role=gateway"):
            gateway.reload()
            assert own not in gateway.attrs["NetworkSettings"]["Networks"]
