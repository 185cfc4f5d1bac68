"""Walls and fleets, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from gateway.store import keys
from tests.scale.models import pool
from tests.scale.models.fleet import fleet, own_calls
from tests.scale.models.walls import ADDRESSES, Wall, hot_keys, walls
from tests.scale.plan import Plan

PLAN = Plan()


def wall(name: str) -> Wall:
    return next(each for each in walls() if each.name == name)


@pytest.mark.parametrize("each", walls(), ids=lambda each: each.name)
def test_a_wall_stands_where_its_load_reaches_the_limit(each: Wall) -> None:
    reached = each.reached(PLAN)
    if not math.isinf(reached):
        assert each.load(replace(PLAN, sessions=int(reached))) <= each.limit
        assert each.load(replace(PLAN, sessions=int(reached) + 1)) > each.limit


def test_what_grows_with_the_sessions_by_hand() -> None:
    assert wall("addresses of a VPC (/16)").reached(PLAN) == ADDRESSES
    assert wall("task starts (RunTask)").reached(PLAN) == pool.RUN_TASK_RATE * PLAN.life
    # 18.5 runs of 100 sessions, 0.3 renewals a second each, of 2 units, in four partitions; and some at begin and end.
    renewals = PLAN.runs / PLAN.sessions * 3 / PLAN.lease * 2 / keys.OPEN_SHARDS
    assert wall("a partition of the index").reached(PLAN) == pytest.approx(1_000 / renewals, rel=0.1)


def test_a_reaper_that_looks_at_all_takes_all_of_its_gateway_in_the_end() -> None:
    """Two calls a minute for each sandbox: 500 a second at 15,000, whatever the number of gateways."""
    assert wall("the reaper's own calls of the table").reached(PLAN) == pytest.approx(15_000, rel=0.01)
    assert fleet(replace(PLAN, sessions=15_000)).gateways == math.inf
    assert math.isinf(wall("the reaper's own calls of the table").reached(PLAN.changed()))


def test_a_fleet_bears_the_loss_of_a_zone() -> None:
    plan = replace(PLAN, sessions=2_000)
    found = fleet(plan)
    left = found.gateways * (plan.zones - 1) / plan.zones
    free = plan.store_calls * plan.headroom - own_calls(plan)
    assert left * free >= 2_000 / PLAN.sessions * 73_868 * 0.99
    assert found.why == "calls of the table"
    assert fleet(replace(PLAN, sessions=1)).gateways == 2


def test_many_pages_ask_for_connections() -> None:
    plan = replace(PLAN.changed(), sessions=1_000, connections=16)
    assert fleet(plan).why == "connections"
    assert fleet(plan).gateways == math.ceil((plan.runs + 500) / (16 * plan.headroom) * 1.5)


def test_the_burst_brings_a_partitions_wall_nearer() -> None:
    name = "a partition of the index"
    (steady, bursting) = (next(each for each in walls(burst) if each.name == name) for burst in (1.0, 2.0))
    assert bursting.reached(PLAN) == pytest.approx(steady.reached(PLAN) / 2, abs=1)


def test_nobody_alone_fills_a_partition() -> None:
    assert all(units < 1_000 for _, _, units in hot_keys(PLAN))
