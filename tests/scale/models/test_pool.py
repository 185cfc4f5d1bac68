"""The pool, against Erlang and by hand."""

from __future__ import annotations

import pytest

from tests.scale.models.pool import Bucket, simulate
from tests.scale.models.queues import erlang_b


@pytest.mark.parametrize(("rate", "size"), [(0.5, 20), (0.5, 26), (2.0, 80)])
def test_a_pool_is_empty_as_often_as_erlang_says(rate: float, size: int) -> None:
    seen = simulate(rate=rate, size=size, start=40, seconds=40_000 / rate, seed=3)
    assert seen.claims > 35_000
    assert seen.share == pytest.approx(erlang_b(size, rate * 40), abs=0.01)


def test_the_spread_of_starts_changes_nothing_but_chance() -> None:
    """Erlang's loss depends on the mean alone."""
    even, uneven = (
        simulate(rate=0.5, size=20, start=40, seconds=60_000, seed=3, spread=spread) for spread in (0.0, 0.9)
    )
    assert even.share == pytest.approx(uneven.share, abs=0.02)


def test_no_pool_is_always_empty() -> None:
    seen = simulate(rate=1, size=0, start=10, seconds=100, seed=1)
    assert seen.share == 1


def test_a_bucket_lets_its_burst_through_and_then_its_rate() -> None:
    bucket = Bucket(100, 20)
    assert [bucket.take(0) for _ in range(100)] == [0.0] * 100
    assert [bucket.take(0) for _ in range(3)] == [pytest.approx(n / 20) for n in (1, 2, 3)]
    assert bucket.take(10) == 10


def test_past_the_quota_starts_wait_longer_and_longer() -> None:
    """25 starts a second where 20 may go: after 1,000 s some 4,900 wait, which is 245 s of the quota."""
    seen = simulate(rate=25, size=1_200, start=40, seconds=880, seed=1, bucket=Bucket(100, 20))
    assert seen.quota_wait == pytest.approx((25 - 20) * 1_000 / 20 - 100 / 20, rel=0.1)


def test_the_same_seed_is_the_same_pool() -> None:
    one, other, third = (simulate(rate=1, size=40, start=40, seconds=2_000, seed=seed) for seed in (1, 1, 2))
    assert one == other != third
