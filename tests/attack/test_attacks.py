"""One small attack of each kind on gateways as processes: it is refused, and a good user's stream goes on, whole."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from tests.attack.attack import Attack, Field, Size
from tests.attack.campaign import GROWTH_MIB
from tests.attack.catalogue import OUTSIDE
from tests.attack.loopback import SETTINGS, Loopback
from tests.attack.memory import Memory
from tests.attack.watch import Watch
from tests.chaos.processes import Processes
from tests.chaos.reader import client

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]

SMALL = Size(scale=0.02, seconds=3.0)
SETTLE_SECONDS = 60.0
NAMES = (
    "gzip bombs: 4 at public, no token",
    "gzip bombs: 4 at broker, signed in",
    "gzip bombs: 4 at agent, no token",
    "hostile agent server: /ping: endless",
    "hostile agent server: /ping: `[[[[`",
    "hostile agent server: ping frames, run",
    "hostile agent server: byte frames, relay",
    "hostile agent server: says nothing, ignores Stop",
    "page: empty frames, run",
    "page: unmasked frames, relay",
    "idle connections: 5,000 at public",
    "slow: 500 readers that never read",
    "slow: 300 bodies at public",
    "slow: 400 half request lines of 1.25 MB at broker",
    "bad requests: 15,000 upgrades with a bad token at public",
    "bad requests: 10,000 malformed at public",
    "bad requests: 10,000 malformed at broker",
    "odd requests: bytes that are no text, names too long at public",
    "odd requests: bytes that are no text, names too long at broker",
    "the API's own tools: web, code, MCP, files at broker",
    "held before: smuggling at public",
    "held before: smuggling by a folded header at public",
    "held before: paths that lead out at public",
    "held before: forged tokens",
)


class Attacked:
    """A scene, the good users in it, and the client that all use."""

    def __init__(self, scene: Loopback, http: aiohttp.ClientSession) -> None:
        self.scene = scene
        self.http = http
        self.watch = Watch(scene, http)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def attacked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Attacked]:
    folder = tmp_path_factory.mktemp("attacked")
    settings = {**SETTINGS, "VF_DRAIN_SECONDS": "1"}  # at their end attackers' runs are still on
    async with Processes(folder, 0, settings=settings) as processes, client() as http:
        attacked = Attacked(Loopback(processes, http, folder), http)
        async with attacked.watch.watching():
            await attacked.scene.meet(attacked.watch.users[0].session)
            yield attacked


@pytest.mark.parametrize(
    "attack",
    [attack for attack in OUTSIDE if attack.full_name in NAMES],
    ids=lambda attack: attack.full_name,
)
async def test_it_is_refused_and_nobody_notices(attacked: Attacked, attack: Attack) -> None:
    scene, users = attacked.scene, attacked.watch.users
    memory = Memory(await scene.processes())
    before = [len(user.reader.history.frames) for user in users]

    found = await attack.work(Field(scene, attacked.http, SMALL))

    assert found.faults == []
    assert [fault for user in users for fault in user.faults()] == []
    await flowing(attacked, before)
    for url in scene.health:
        async with attacked.http.get(f"{url}/api/ready") as response:
            assert response.status == 200
    assert max((await memory.settled(GROWTH_MIB, SETTLE_SECONDS)).values()) <= GROWTH_MIB


async def flowing(attacked: Attacked, before: list[int]) -> None:
    """Every stream has come further."""
    deadline = time.monotonic() + SETTLE_SECONDS
    for user, frames in zip(attacked.watch.users, before, strict=True):
        while len(user.reader.history.frames) <= frames:
            assert time.monotonic() < deadline, f"{user.name}'s stream stands still"
            await asyncio.sleep(0.05)
