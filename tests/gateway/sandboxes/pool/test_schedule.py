"""A pool that follows its schedule: filled before a window begins, given away when it ends, on a driver in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.ids import new_id
from gateway.sandboxes.pool.driver import PooledDriver
from gateway.sandboxes.pool.keeper import Keeper
from tests.gateway.fakes import until
from tests.gateway.sandboxes.pool.test_places import world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.gateway.sandboxes.pool.test_places import World

__all__ = ["world"]

BEGIN = 1_768_204_800.0
"""Monday, 12 January 2026, 08:00 UTC."""

END = BEGIN + 3600


class Scheduled:
    """A gateway whose clock is set by hand, and whose pool has two members for an hour, and none otherwise."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.now = BEGIN
        window = "Mon 08:00-09:00 UTC 2"
        settings = replace(world.settings, pool_size=0, pool_schedule=window, start_seconds=60.0)
        self.driver = PooledDriver(settings, world.store, world.told, lambda: self.now)
        members = self.driver.members
        self.keeper = Keeper(settings, world.store, world.told, members, lambda: self.now)

    async def round_at(self, now: float) -> list[str]:
        """One look at this time; the members behind it, all ready."""
        self.now = now
        await self.keeper.round()
        await until(lambda: not self.keeper._starts)
        found = await self.world.store.pool.members()
        self.driver.members.know(found, self.world.told.kind)
        assert all(member.ready for member in found)
        return [member.id for member in found]


@pytest.fixture
async def pool(world: World) -> AsyncIterator[Scheduled]:
    pool = Scheduled(world)
    yield pool
    await pool.keeper.close()
    await pool.driver.close()


async def test_it_is_full_when_its_window_begins_and_empty_when_it_has_ended(
    pool: Scheduled, world: World
) -> None:
    assert await pool.round_at(BEGIN - 61) == []
    assert pool.keeper.figures() == {"size": 0, "ready": 0, "claimed": 0, "missed": 0}
    members = await pool.round_at(BEGIN - 60)
    assert len(members) == 2
    assert await pool.round_at(BEGIN) == members
    assert pool.keeper.figures() == {"size": 2, "ready": 2, "claimed": 0, "missed": 0}

    # One that a session has claimed is replaced while the window holds, and is the session's own behind it.
    session = new_id()
    await pool.driver.ensure(session)
    claimed = await world.name(session)
    assert claimed in members
    others = await pool.round_at(END - 1)
    assert len(others) == 2
    assert claimed not in others
    assert await pool.round_at(END) == []
    assert set(world.told.sandboxes) == {claimed}
    assert (await pool.driver.ensure(session)).host == f"host-of-{claimed}"


async def test_a_session_outside_of_every_window_has_its_own_sandbox_and_misses_nothing(
    pool: Scheduled, world: World
) -> None:
    await pool.round_at(END)
    session = new_id()
    assert (await pool.driver.ensure(session)).host == f"host-of-{session}"
    # It is written down: a gateway whose clock is ahead gives it no second one.
    place = await world.store.pool.place(session)
    assert place is not None
    assert place.member == ""
    assert pool.keeper.figures()["missed"] == 0
