"""Sweepers, by hand."""

from __future__ import annotations

import pytest

from gateway.runs.sweeper import BATCH
from tests.scale.models.takeover import LOOK, TAKE, simulate


def test_one_gateway_takes_a_batch_a_look_and_none_in_vain() -> None:
    """40 looks one after another, each of LOOK and a take; the first within a fifth of a lease."""
    seen = simulate(runs=40 * BATCH, gateways=1, lease=10, seed=1)
    assert seen.wasted == 0
    assert seen.seconds == pytest.approx(1 + 40 * (LOOK + TAKE), abs=1.1)


def test_a_few_runs_wait_for_the_first_look() -> None:
    """With n gateways at even chances in 2 s: 2 / (n + 1) s on average."""
    waits = [simulate(runs=1, gateways=9, lease=10, seed=seed).seconds - LOOK - TAKE for seed in range(200)]
    assert sum(waits) / len(waits) == pytest.approx(0.2, abs=0.05)


def test_gateways_race_for_the_same_runs() -> None:
    """All look at the same 25: with many of them some takes are in vain, and every run is taken all the same."""
    seen = simulate(runs=617, gateways=29, lease=10, seed=1)
    assert 0 < seen.wasted < 0.9
    assert seen.seconds < 617 / BATCH * 2


def test_the_same_seed_is_the_same_takeover() -> None:
    assert simulate(runs=500, gateways=5, lease=10, seed=4) == simulate(
        runs=500, gateways=5, lease=10, seed=4
    )


def test_no_run_takes_no_time() -> None:
    assert simulate(runs=0, gateways=3, lease=10, seed=1).seconds == 0
