"""Where a session's sandbox is when one has ended, is frozen or is listed late: on a driver that does as it is told."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway import errors
from gateway.ids import new_id
from gateway.sandboxes.drivers import Sandbox, SandboxState
from gateway.sandboxes.pool import driver as pool_driver
from gateway.sandboxes.pool.driver import PooledDriver
from gateway.sandboxes.pool.keeper import LISTED_SECONDS, Keeper
from gateway.store.dynamo import DynamoStore
from gateway.store.pool import Member, PlaceChanged
from tests.gateway.fakes import until
from tests.gateway.stack import SECRET, settings_for
from tests.gateway.store.store_table import RETRY_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import aiohttp

RUNNING, STOPPED, ABSENT = SandboxState.RUNNING, SandboxState.STOPPED, SandboxState.ABSENT


class Told:
    """A driver in memory. `occupants`: who has claimed a member. `frozen`: takes no claim. `unlisted`: runs, and is not
    known to do so yet."""

    def __init__(self) -> None:
        self.sandboxes: dict[str, Sandbox] = {}
        self.occupants: dict[str, str] = {}
        self.frozen: set[str] = set()
        self.unlisted: set[str] = set()
        self.phases: dict[str, str] = {}
        self.kind = "f"

    async def ensure(self, session: str, *, occupant: str = "") -> Sandbox:
        before = self.sandboxes.get(session)
        if before is None or before.state is not RUNNING:
            self.occupants.pop(session, None)
            self.frozen.discard(session)
            before = Sandbox(
                session=session, state=RUNNING, host=f"host-of-{session}", port=1, started_at=1.5
            )
            self.sandboxes[session] = before
        return replace(before, session=occupant if self.occupants.get(session) == occupant != "" else session)

    async def status(self, session: str) -> Sandbox:
        known = None if session in self.unlisted else self.sandboxes.get(session)
        return known or Sandbox(session=session, state=ABSENT)

    async def stop(self, session: str) -> None:
        self.end(session, "")

    async def delete(self, session: str) -> None:
        self.sandboxes.pop(session, None)
        self.occupants.pop(session, None)

    async def list(self) -> Sequence[Sandbox]:
        return [one for one in self.sandboxes.values() if one.session not in self.unlisted]

    async def close(self) -> None:
        """Nothing is open."""

    async def fingerprint(self) -> str:
        return self.kind

    def phase(self, session: str) -> str:
        return self.phases.get(session, "")

    def end(self, session: str, why: str) -> None:
        """It ends, by itself where there is a reason."""
        self.sandboxes[session] = Sandbox(session=session, state=STOPPED, lost_reason=why)

    async def send(
        self, _client: aiohttp.ClientSession, member: Member, session: str, *, secret: str, lost_reason: str
    ) -> Sandbox | None:
        """In place of `send_claim`."""
        found = self.sandboxes.get(member.id)
        if member.id in self.frozen or found is None or found.state is not RUNNING:
            return None
        self.occupants[member.id] = session
        assert secret == SECRET
        return replace(found, session=session, fresh=True, lost_before=lost_reason)


class World:
    """A gateway's driver, on a table of its own."""

    def __init__(self, store: DynamoStore, told: Told, settings: Any) -> None:
        self.store, self.told, self.settings = store, told, settings
        self.driver = PooledDriver(settings, store, told)
        self.keeper = Keeper(settings, store, told, self.driver.members)

    async def member(self) -> str:
        """A ready one."""
        made = Member(id=f"pool-{new_id()}", fingerprint="f", since=time.time())
        await self.store.pool.add(made)
        sandbox = await self.told.ensure(made.id)
        ready = replace(made, ready=True, host=sandbox.host, port=sandbox.port, started_at=sandbox.started_at)
        assert await self.store.pool.make_ready(ready)
        self.driver.members.know(await self.store.pool.members(), "f")
        return made.id

    async def name(self, session: str) -> str:
        place = await self.store.pool.place(session)
        return (place.member or session) if place else ""


@pytest.fixture(params=["docker", "ecs"])
async def world(
    request: pytest.FixtureRequest, dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    told = Told()
    monkeypatch.setattr(pool_driver, "send_claim", told.send)
    settings = settings_for(dynamodb_endpoint, f"test-{new_id()}", pool_size=2, driver=request.param)
    store = DynamoStore(settings, retry_seconds=RETRY_SECONDS)
    await store.open()
    made = World(store, told, settings)
    yield made
    await made.keeper.close()
    await made.driver.close()
    await store.close()


async def test_a_session_whose_own_sandbox_was_lost_has_its_next_one_where_that_is_right(
    world: World,
) -> None:
    session = new_id()
    assert (await world.driver.ensure(session)).session == session
    world.told.end(session, "oom")
    member = await world.member()
    # What it began by itself is not old enough to be given up, however empty the driver's list is.
    world.driver._clock = lambda: time.time() + world.settings.start_seconds + 1
    woken = await world.driver.ensure(session)
    if world.settings.keeps_files:
        assert await world.name(session) == session
    else:
        assert await world.name(session) == member
        assert woken.lost_before == "oom"


async def test_one_that_was_begun_just_now_is_not_left_because_it_is_listed_late(world: World) -> None:
    session = new_id()
    await world.driver.ensure(session)
    world.told.unlisted.add(session)
    await world.member()
    other = PooledDriver(world.settings, world.store, world.told)
    assert (await other.ensure(session)).host == f"host-of-{session}"
    assert await world.name(session) == session


async def test_another_gateway_finds_the_place_of_a_new_session_and_keeps_the_member_that_it_tried(
    world: World,
) -> None:
    session, mine = new_id(), await world.member()
    assert (await world.driver.ensure(session)).session == session
    spare = await world.member()
    other = World(world.store, world.told, world.settings)
    other.driver.members.know(await world.store.pool.members(), "f")
    assert (await other.driver.ensure(session)).host == f"host-of-{mine}"
    assert await world.name(session) == mine
    other.driver.members.know(await world.store.pool.members(), "f")
    assert (await other.driver.ensure(new_id())).host == f"host-of-{spare}"
    await other.driver.close()


async def test_one_that_claimed_and_lost_its_member(world: World) -> None:
    session, first = new_id(), await world.member()
    await world.driver.ensure(session)
    assert await world.name(session) == first
    world.told.end(first, "spot")
    second = await world.member()
    woken = await world.driver.ensure(session)
    if world.settings.keeps_files:
        assert await world.name(session) == first
        assert world.told.occupants == {first: session}
    else:
        assert await world.name(session) == second
        assert woken.lost_before == "spot"
        assert await world.store.pool.sessions_of([first, second]) == {second: session}
    assert woken.session == session


async def test_a_member_that_takes_no_claim_is_started_anew_or_left(world: World) -> None:
    session, frozen = new_id(), await world.member()
    world.told.frozen.add(frozen)
    sandbox = await world.driver.ensure(session)
    assert sandbox.session == session
    if world.settings.keeps_files:
        assert await world.name(session) == frozen
        assert world.told.occupants == {frozen: session}
    else:
        assert await world.name(session) == session
        assert frozen not in world.told.sandboxes


async def test_a_spare_sandbox_of_a_session_that_has_claimed_is_ended_where_it_holds_nothing(
    world: World,
) -> None:
    session = new_id()
    member = await world.member()
    await world.driver.ensure(session)
    await world.told.ensure(session)
    listed = await world.driver.list()
    assert {one.session for one in listed} == {session}
    assert (session in world.told.sandboxes) is world.settings.keeps_files
    assert member in world.told.sandboxes


async def test_a_start_tells_its_phase_by_the_session(world: World) -> None:
    session, member = new_id(), await world.member()
    await world.driver.ensure(session)
    world.told.phases = {member: "sandbox-pulling", session: "its own"}
    assert world.driver.phase(session) == "its own"
    world.driver._started_as[session] = member
    assert world.driver.phase(session) == "sandbox-pulling"


async def test_a_ready_member_that_has_died_is_replaced(world: World) -> None:
    member = await world.member()
    world.told.end(member, "killed")
    later = time.time() + LISTED_SECONDS + world.settings.start_seconds + 1
    world.keeper._clock = lambda: later
    await world.keeper.round()
    assert member not in {one.id for one in await world.store.pool.members()}
    assert member not in world.told.sandboxes
    await until(lambda: len(world.told.sandboxes) == 2)


async def test_members_of_an_earlier_image_are_replaced(world: World) -> None:
    member = await world.member()
    world.told.kind = "another image"
    await world.keeper.round()
    assert world.driver.members.ready == 0
    assert member not in world.told.sandboxes
    await until(lambda: len(world.told.sandboxes) == 2)
    assert {one.fingerprint for one in await world.store.pool.members()} == {"another image"}


async def test_a_session_that_is_older_than_the_pool_claims_nothing_where_it_may_have_files(
    world: World,
) -> None:
    session, member = new_id(), await world.member()
    world.store.pool.since = time.time() + 0.5
    world.driver._clock = lambda: time.time() + 1
    await world.driver.ensure(session)
    assert await world.name(session) == ("" if world.settings.keeps_files else member)


@pytest.mark.parametrize("claimed", [True, False])
async def test_a_start_that_another_keeper_has_finished_too_takes_no_session_its_sandbox(
    world: World, monkeypatch: pytest.MonkeyPatch, claimed: bool
) -> None:
    session, begun = new_id(), Member(id=f"pool-{new_id()}", fingerprint="f", since=time.time())
    await world.store.pool.add(begun)
    plain = world.told.ensure

    async def ensure(name: str, *, occupant: str = "") -> Sandbox:
        sandbox = await plain(name, occupant=occupant)
        # Meanwhile the other keeper is done with it: a session claims it, or it is dropped.
        monkeypatch.setattr(world.told, "ensure", plain)
        ready = replace(begun, ready=True, host=sandbox.host, port=sandbox.port)
        assert await world.store.pool.make_ready(ready)
        if claimed:
            await world.driver.ensure(session)
            assert await world.name(session) == begun.id
        else:
            assert await world.store.pool.drop(begun.id)
        return sandbox

    monkeypatch.setattr(world.told, "ensure", ensure)
    await world.keeper._start(begun)
    assert (begun.id in world.told.sandboxes) is claimed


@pytest.mark.parametrize("error", [errors.StoreUnavailable("away"), PlaceChanged("elsewhere")])
async def test_a_claim_that_came_to_nothing_leaves_the_member_to_the_next_session(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    member, plain = await world.member(), world.store.pool.claim

    async def claim(*_args: Any, **_named: Any) -> None:
        monkeypatch.setattr(world.store.pool, "claim", plain)
        raise error

    monkeypatch.setattr(world.store.pool, "claim", claim)
    with suppress(errors.SandboxUnavailable):
        await world.driver.ensure(new_id())
    world.driver.members.know(await world.store.pool.members(), "f")
    await world.driver.ensure(new_id())
    assert await world.store.pool.members() == []
    assert set(world.told.occupants) == {member}
