"""Whole gateways with a pool: a chat in a claimed sandbox, what is counted and reaped, what no member may."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from container.protocol import broker_token, sandbox_token
from gateway.app import _figures
from gateway.broker.model_api import build_broker
from gateway.errors import SandboxUnavailable, StoreUnavailable
from gateway.ids import new_id
from gateway.runs.metrics import Metrics
from gateway.sandboxes import reaper
from gateway.sandboxes.drivers import SandboxState
from gateway.schedule import DAYS
from gateway.web.request.app_keys import CLIENT, DRIVER, POOL, STORE
from tests.gateway.stack import SECRET, Gateway, Stack, assert_whole, text_of
from tests.gateway.store.store_table import scan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SECONDS = 120.0


@pytest.fixture
async def pooled(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A gateway on a table of its own, with a pool of one."""
    table = f"test-{new_id()}"
    blobs = f"folder:{tmp_path / 'blobs'}"
    async with Stack(dynamodb_endpoint, table, tmp_path / "sandboxes", pool_size=1, blobs=blobs) as stack:
        yield stack


async def until_ready(gateway: Gateway) -> str:
    """The id of the one member, once the gateway's own keeper has made it ready, and knows."""
    keeper = gateway.app[POOL]
    assert keeper is not None
    async with asyncio.timeout(SECONDS):
        while True:
            members = await gateway.app[STORE].pool.members()
            if keeper.figures()["ready"] and len(members) == 1:
                return members[0].id
            await asyncio.sleep(0.1)


@asynccontextmanager
async def the_health_of(stack: Stack) -> AsyncIterator[dict[str, Any]]:
    async with stack.http.get(f"{stack.url}/api/health") as response:
        yield await response.json()


async def test_a_chat_in_a_claimed_sandbox_and_its_end(pooled: Stack) -> None:
    gateway = pooled.gateways[0]
    member = await until_ready(gateway)
    session = await pooled.session()
    frames = await pooled.ask(session, "echo from the pool")
    assert_whole(frames)
    assert "from the pool" in text_of(frames)
    rows = gateway.app[STORE].pool
    place = await rows.place(session)
    assert place is not None
    assert place.member == member
    # The next prompt is for the same sandbox, also at a gateway that has not seen it, and also once it has stopped.
    other = await pooled.add()
    assert_whole(await pooled.ask(session, "echo again", gateway=1))
    await gateway.runs.driver.stop(session)
    assert_whole(await pooled.ask(session, "echo once more", gateway=1))
    assert await rows.place(session) == place
    url = f"{pooled.url}/api/sessions/{session}"
    async with pooled.http.delete(url, headers=pooled.headers()) as response:
        assert response.status == 204
    assert await rows.place(session) is None
    assert await rows.sessions_of([member]) == {}
    assert not (pooled.root / member).exists()
    assert (await other.runs.driver.status(session)).state is SandboxState.ABSENT


async def test_the_pool_is_counted_and_refilled(pooled: Stack) -> None:
    gateway = pooled.gateways[0]
    first = await until_ready(gateway)
    async with the_health_of(pooled) as told:
        assert told["pool"] == {"size": 1, "ready": 1, "claimed": 0, "missed": 0}
    assert_whole(await pooled.ask(await pooled.session(), "echo hello"))
    assert await until_ready(gateway) != first
    async with the_health_of(pooled) as told:
        assert (told["pool"]["ready"], told["pool"]["claimed"]) == (1, 1)
    line = Metrics("test", lambda: _figures(gateway.app)).tell()
    assert '"PoolReady":1' in line
    assert '"PoolClaims":1' in line
    assert '"PoolMisses":0' in line


async def test_a_pool_that_is_to_be_empty_now_is_told_and_rings_no_alarm(
    dynamodb_endpoint: str, tmp_path: Path
) -> None:
    day = DAYS[(datetime.now(UTC).weekday() + 3) % len(DAYS)]
    schedule = f"{day} 08:00-18:00 UTC 1"
    async with Stack(dynamodb_endpoint, f"test-{new_id()}", tmp_path, pool_schedule=schedule) as stack:
        async with the_health_of(stack) as told:
            assert told["pool"] == {"size": 0, "ready": 0, "claimed": 0, "missed": 0}
        line = Metrics("test", lambda: _figures(stack.gateways[0].app)).tell()
        assert "PoolReady" not in line
        assert '"PoolMisses":0' in line


async def test_without_a_pool_nothing_is_told_or_written(stack: Stack) -> None:
    async with the_health_of(stack) as told:
        assert "pool" not in told
    session = await stack.session()
    assert_whole(await stack.ask(session, "echo hello"))
    gateway = stack.gateways[0]
    assert await gateway.app[STORE].pool.place(session) is None
    assert "PoolReady" not in Metrics("test", lambda: _figures(gateway.app)).tell()


async def test_a_member_counts_for_nobody_and_its_token_opens_no_model(pooled: Stack) -> None:
    gateway = pooled.gateways[0]
    member = await until_ready(gateway)
    assert await gateway.runs.driver.list() == []
    look = gateway.app[DRIVER].status
    broker = web.AppRunner(build_broker(gateway.settings, gateway.app[STORE], gateway.app[CLIENT], look=look))
    await broker.setup()
    await web.TCPSite(broker, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{broker.addresses[0][1]}/v1/messages"
    own = sandbox_token(SECRET.encode(), member)
    for key, status in ((own, 401), (broker_token(own, member, (await look(member)).start), 404)):
        async with aiohttp.request("POST", url, json={}, headers={"x-api-key": key}) as response:
            assert response.status == status
    await broker.cleanup()


async def test_a_claim_that_nobody_finishes_is_reaped(pooled: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaper, "SILENT_ROUNDS", 1)
    gateway = pooled.gateways[0]
    await until_ready(gateway)
    session = await pooled.session()
    rows = gateway.app[STORE].pool
    (member,) = await rows.members()
    assert await rows.claim(member, session, before=None) is not None
    one = gateway.reaper()
    assert (await gateway.runs.driver.status(session)).state is SandboxState.RUNNING
    async with asyncio.timeout(SECONDS):
        while (await gateway.runs.driver.status(session)).state is SandboxState.RUNNING:
            await one.reap()
    # It is still the session's.
    assert_whole(await pooled.ask(session, "echo hello"))


async def test_what_nobody_can_have_is_reaped(pooled: Stack) -> None:
    gateway = pooled.gateways[0]
    member = await until_ready(gateway)
    # A session that is deleted while another gateway wakes it once more leaves a member without a row.
    assert await gateway.app[STORE].pool.drop(member)
    await gateway.reaper().reap()
    assert not (pooled.root / member).exists()


async def test_a_member_whose_session_was_deleted_meanwhile_is_reaped(pooled: Stack) -> None:
    gateway = pooled.gateways[0]
    member = await until_ready(gateway)
    session = await pooled.session()
    await gateway.runs.driver.ensure(session)
    # Claimed between the deletion of the sandbox and that of the session's items, its place among them.
    await gateway.app[STORE].delete_session(session)
    await gateway.runs.driver.delete(session)
    assert (pooled.root / member).exists()
    await gateway.reaper().reap()
    assert not (pooled.root / member).exists()
    assert not [one for one in await scan(gateway.app[STORE]) if member in one["pk"]["S"]]  # type: ignore[arg-type]


async def test_an_older_session_has_its_own_sandbox_and_a_pool_that_is_off_ends(
    dynamodb_endpoint: str, tmp_path: Path
) -> None:
    table = f"test-{new_id()}"
    async with Stack(dynamodb_endpoint, table, tmp_path / "sandboxes") as stack:
        session = await stack.session()
        assert_whole(await stack.ask(session, "echo before there was a pool"))
        pooled = await stack.start(replace(stack.settings, pool_size=1))
        member = await until_ready(pooled)
        assert_whole(await stack.ask(session, "echo its own", gateway=1))
        assert await pooled.app[STORE].pool.place(session) is None
        # New as well, but made before gateways without a pool have gone for certain.
        assert_whole(await stack.ask(await stack.session(), "echo hello", gateway=1))
        assert [one.id for one in await pooled.app[STORE].pool.members()] == [member]
        await pooled.close()
        off = await stack.start(replace(stack.settings, pool_size=0))
        async with asyncio.timeout(SECONDS):
            while await off.app[STORE].pool.members() or (stack.root / member).exists():
                await asyncio.sleep(0.1)


async def test_while_the_store_is_away_nobody_guesses_where_a_sandbox_is(
    pooled: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = pooled.gateways[0]
    await until_ready(gateway)
    known, unknown = await pooled.session(), await pooled.session()
    sandbox = await gateway.runs.driver.ensure(known)

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    for method in ("place", "claim", "place_own"):
        monkeypatch.setattr(gateway.app[STORE].pool, method, away)
    assert await gateway.runs.driver.ensure(known) == sandbox
    with pytest.raises(SandboxUnavailable, match="cannot be read: away"):
        await gateway.runs.driver.ensure(unknown)
