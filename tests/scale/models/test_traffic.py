"""Traffic, against its formulas."""

from __future__ import annotations

import pytest

from tests.scale.models.traffic import simulate
from tests.scale.models.units import load
from tests.scale.plan import Plan

PLAN = Plan(sessions=20_000)


def test_the_steady_state_is_the_formulas() -> None:
    """Little's law for starts and runs, Laplace's for the prompts of a visit; and the index gets what runs write."""
    seen = simulate(PLAN, seed=5)
    assert seen.starts.mean == pytest.approx(PLAN.starts, rel=0.06)
    assert seen.prompts.mean == pytest.approx(PLAN.prompts, rel=0.03)
    assert seen.runs.mean == pytest.approx(PLAN.runs, rel=0.03)
    # A run's last renewal comes up to a third of a lease before its end: half of one less, on average.
    assert seen.shard.mean == pytest.approx(load(PLAN).index / PLAN.shards, rel=0.06)


def test_visits_have_the_prompts_that_were_counted_by_hand() -> None:
    """Without pauses to speak of a visit of 600 s holds ten runs of 60 s and the one that it ends in."""
    plan = Plan(sessions=100, active=600.0, run=60.0, think=1e-9)
    assert plan.prompts / plan.starts == pytest.approx(11)


def test_the_worst_second_is_above_the_mean() -> None:
    seen = simulate(PLAN, seed=5)
    assert seen.shard.burst > 1
    assert seen.prompts.peak >= seen.prompts.mean


def test_the_same_seed_is_the_same_traffic() -> None:
    plan = Plan(sessions=1_000)
    assert simulate(plan, seed=1) == simulate(plan, seed=1)
    assert simulate(plan, seed=1) != simulate(plan, seed=2)
