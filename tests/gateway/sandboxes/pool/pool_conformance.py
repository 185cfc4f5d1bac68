"""What the pool must do on every driver: a suite that test classes inherit, with a `pool` fixture of their own."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from container.protocol import sandbox_token
from gateway.ids import new_id
from gateway.sandboxes.drivers import SandboxState
from gateway.sandboxes.pool.claim import send_claim

if TYPE_CHECKING:
    from tests.gateway.sandboxes.drivers.driver_conformance import Probe
    from tests.gateway.sandboxes.pool.pool_bench import PoolBench

CROWD = 50


class PoolConformance:
    """`pool` has room for two members; `probe` asks agent servers; `session` is a new one that goes with the test."""

    async def test_a_session_gets_a_member_which_is_its_own_from_then_on(
        self, pool: PoolBench, probe: Probe, session: str
    ) -> None:
        members = {member.id: member for member in await pool.fill()}
        driver = pool.driver()
        sandbox = await driver.ensure(session)
        member = members[await pool.name(session)]
        assert (sandbox.session, sandbox.fresh) == (session, True)
        assert (sandbox.host, sandbox.port) == (member.host, member.port)
        assert (await probe.ping(sandbox))["session"] == session
        other = pool.driver()
        assert await other.ensure(session) == sandbox
        assert await other.status(session) == sandbox
        assert [one.id for one in await pool.members()] == [one for one in members if one != member.id]
        assert await pool.inner.alive(session) == 0

    async def test_the_start_token_is_dead_after_the_claim(
        self, pool: PoolBench, probe: Probe, session: str
    ) -> None:
        (member, *_) = await pool.fill()
        driver = pool.driver()
        sandbox = await driver.ensure(session)
        name = await pool.name(session)
        assert (await probe.read(sandbox, "x"))[0] == 404
        assert (await probe.read(sandbox, "x", token_of=name))[0] == 401
        assert member.id != session

    async def test_another_sessions_claim_is_refused(
        self, pool: PoolBench, probe: Probe, session: str
    ) -> None:
        members = await pool.fill()
        sandbox = await pool.driver().ensure(session)
        name = await pool.name(session)
        member = next(one for one in members if one.id == name)
        secret = pool.settings.sandbox_secret
        assert await send_claim(probe._http, member, "another", secret=secret) is None
        assert await send_claim(probe._http, member, session, secret="another stack's " * 3) is None
        assert await send_claim(probe._http, member, session, secret=secret) == sandbox
        assert (await probe.ping(sandbox))["session"] == session

    async def test_a_crowd_of_sessions_claims_each_member_once(self, pool: PoolBench) -> None:
        members = await pool.fill()
        drivers = [pool.driver(), pool.driver()]
        crowd = [new_id() for _ in range(CROWD)]
        claims = (drivers[n % 2].members.claim(name, before=None) for n, name in enumerate(crowd))
        found = await asyncio.gather(*claims)
        taken = Counter(claim[0].id for claim in found if claim is not None)
        assert taken == dict.fromkeys((member.id for member in members), 1)
        assert sum(claim is None for claim in found) == CROWD - len(members)
        assert await pool.members() == []
        for name in crowd:
            await drivers[0].delete(name)

    async def test_a_crowd_that_opens_one_session_has_one_sandbox(
        self, pool: PoolBench, session: str
    ) -> None:
        await pool.fill()
        drivers = [pool.driver(), pool.driver()]
        found = await asyncio.gather(*(drivers[n % 2].ensure(session) for n in range(CROWD)))
        assert len(set(found)) == 1
        assert len(await pool.members()) == 1
        assert await pool.alive(session) == 1

    async def test_a_claim_whose_gateway_died_is_finished_by_the_next_one(
        self, pool: PoolBench, probe: Probe, session: str
    ) -> None:
        (member, _) = await pool.fill()
        assert await pool.store.pool.claim(member, session, before=None) is not None
        # Nothing was sent: as a gateway leaves it that is killed here.
        sandboxes = await asyncio.gather(*(pool.driver().ensure(session) for _ in range(3)))
        assert len(set(sandboxes)) == 1
        assert await pool.name(session) == member.id
        assert (await probe.ping(sandboxes[0]))["session"] == session
        assert (await probe.read(sandboxes[0], "x", token_of=member.id))[0] == 401

    async def test_a_member_that_has_died_is_nobodys_trouble(
        self, pool: PoolBench, probe: Probe, session: str
    ) -> None:
        for member in await pool.fill():
            await pool.inner.kill(member.id)
        sandbox = await pool.driver().ensure(session)
        assert (await probe.ping(sandbox))["session"] == session

    async def test_an_empty_pool_is_nobodys_trouble(
        self, pool: PoolBench, probe: Probe, session: str
    ) -> None:
        driver = pool.driver()
        sandbox = await driver.ensure(session)
        assert (await probe.ping(sandbox))["session"] == session
        assert await pool.name(session) == session
        assert driver.members.missed == 1
        await pool.fill()
        # What has begun by itself goes on so.
        assert await pool.driver().ensure(session) == sandbox

    async def test_members_of_another_kind_are_replaced_and_given_to_nobody(
        self, pool: PoolBench, session: str
    ) -> None:
        before = {member.id for member in await pool.fill()}
        (stale, *_) = await pool.members()
        changed = replace(stale, fingerprint="another")
        assert await pool.store.pool.claim(changed, session, before=None) is None
        await pool.store.pool.drop(stale.id)
        await pool.store.pool.add(changed)
        await pool.keepers[0].round()
        assert stale.id not in {member.id for member in await pool.members()}
        assert await pool.inner.alive(stale.id) == 0
        after = {member.id for member in await pool.fill()}
        assert len(after - before) == 1

    async def test_one_that_is_old_goes_once_another_is_ready(self, pool: PoolBench) -> None:
        (old, _) = await pool.fill()
        aged = replace(old, since=old.since - pool.settings.pool_max_minutes * 60 - 1)
        await pool.store.pool.add(aged)
        keeper = pool.keepers[0]
        await keeper.round()
        found = await pool.members()
        assert [member.ready for member in found] == [True, True, False]
        assert found[0].id == old.id
        after = await pool.fill()
        assert old.id not in {member.id for member in after}
        assert await pool.inner.alive(old.id) == 0

    async def test_one_gateway_refills_and_another_when_it_has_gone(self, pool: PoolBench) -> None:
        one, other = pool.keeper(), pool.keeper()
        await one.round()
        await other.round()
        assert not other._starts
        begun = {member.id for member in await pool.members()}
        assert len(begun) == 2
        await one.close()
        assert {member.id for member in await pool.fill(other)} == begun

    async def test_unclaimed_members_are_not_listed_and_claimed_ones_by_their_session(
        self, pool: PoolBench, session: str
    ) -> None:
        await pool.fill()
        driver = pool.driver()
        assert await driver.list() == []
        sandbox = await driver.ensure(session)
        listed = await driver.list()
        assert [(one.session, one.url) for one in listed] == [(session, sandbox.url)]

    async def test_one_that_nobody_can_have_is_listed_by_its_own_id(self, pool: PoolBench) -> None:
        (lost, _) = await pool.fill()
        await pool.store.pool.drop(lost.id)
        driver = pool.driver()
        assert [one.session for one in await driver.list()] == [lost.id]
        assert (await driver.status(lost.id)).state is SandboxState.RUNNING
        await driver.delete(lost.id)
        assert await pool.inner.leftovers(lost.id) == []

    async def test_a_stopped_one_wakes_as_its_sessions_with_what_it_held(
        self, pool: PoolBench, probe: Probe, session: str
    ) -> None:
        await pool.fill()
        driver = pool.driver()
        await probe.write(await driver.ensure(session), "a.txt", b"kept")
        name = await pool.name(session)
        await driver.stop(session)
        assert (await pool.driver().status(session)).state is SandboxState.STOPPED
        woken = await pool.driver().ensure(session)
        assert (await probe.ping(woken))["session"] == session
        assert (await probe.read(woken, "x", token_of=name))[0] == 401
        found = await probe.read(woken, "a.txt")
        assert found == (200, b"kept") if pool.settings.keeps_files else found[0] == 404
        assert (await pool.name(session) == name) is pool.settings.keeps_files

    async def test_a_deleted_sessions_member_goes_with_all_that_is_known_of_it(
        self, pool: PoolBench, session: str
    ) -> None:
        await pool.fill()
        driver = pool.driver()
        await driver.ensure(session)
        name = await pool.name(session)
        await driver.delete(session)
        assert await pool.inner.leftovers(name) == []
        assert await pool.store.pool.place(session) is None
        assert await pool.store.pool.sessions_of([name]) == {}

    async def test_the_broker_token_is_the_sessions(self, pool: PoolBench, session: str) -> None:
        """The gateways derive it: a claimed sandbox is known by nothing else."""
        await pool.fill()
        sandbox = await pool.driver().ensure(session)
        token = sandbox_token(pool.settings.sandbox_secret.encode(), sandbox.session)
        assert token.split(".")[1] == session
