"""The storm, within the bounds of the page's own backoff."""

from __future__ import annotations

import random

import pytest

from tests.scale.models import storm
from tests.scale.models.storm import Storm, client, noticed, simulate


def run(**changes: float) -> Storm:
    whole = {
        "readers": 600,
        "gateways": 10,
        "attach_cpu": 0.0001,
        "cpus": 1.0,
        "streaming": 0.5,
        "seed": 1,
    } | changes
    return simulate(
        readers=int(whole["readers"]),
        gateways=int(whole["gateways"]),
        attach_cpu=whole["attach_cpu"],
        cpus=whole["cpus"],
        streaming=whole["streaming"],
        silent=bool(whole.get("silent", 0)),
        seed=int(whole["seed"]),
    )


def test_the_pages_own_constants() -> None:
    """Where the page changes, docs/scale.md wants its tables anew."""
    page = client()
    assert (page.base, page.cap, page.timeout, page.silence) == (0.25, 10, 15, 45)


def test_a_constant_that_is_gone_is_told() -> None:
    with pytest.raises(ValueError, match="NO_SUCH_MS is not in"):
        storm._milliseconds("api.js", "NO_SUCH_MS")


def test_backoff_is_full_jitter_below_a_doubling_cap() -> None:
    chance, page = random.Random(1), client()
    for failures, cap in [(0, 0.25), (1, 0.5), (3, 2.0), (5, 8.0), (6, 10.0), (40, 10.0)]:
        pauses = [page.pause(failures, chance) for _ in range(2_000)]
        assert 0 <= min(pauses) < 0.02 * cap
        assert 0.98 * cap < max(pauses) <= cap
        assert sum(pauses) / len(pauses) == pytest.approx(cap / 2, rel=0.05)


def test_readers_whose_connections_are_reset_are_back_within_the_first_backoff() -> None:
    """Gateways that do their work at once: what is left is full jitter of 250 ms."""
    seen = run(readers=5_000)
    assert seen.tries == 1
    assert seen.last <= 0.25 + 5_000 * 0.0001
    assert seen.p50 == pytest.approx(0.125, abs=0.03)


def test_one_gateway_serves_in_order() -> None:
    """900 at 10 ms each: 9 s, and nobody loses patience."""
    seen = run(readers=900, gateways=1, attach_cpu=0.01)
    assert seen.tries == 1
    assert seen.last == pytest.approx(9.0, abs=0.25)


def test_who_waits_longer_than_the_page_does_comes_again() -> None:
    """1,500 are served within 15 s at 10 ms each; the work for the others was for nothing."""
    seen = run(readers=2_000, gateways=1, attach_cpu=0.01)
    assert seen.attempts.total() > 2_000
    assert seen.last > 20
    assert seen.peak == 2_000


def test_silence_is_noticed_between_a_ping_before_the_limit_and_the_limit() -> None:
    chance, page = random.Random(1), client()
    quiet = [noticed(0.0, chance, silent=True, page=page) for _ in range(2_000)]
    assert 25 <= min(quiet) < 25.5
    assert 44.5 < max(quiet) <= 45
    assert {noticed(1.0, chance, silent=True, page=page) for _ in range(10)} == {45}
    assert run(silent=1).last >= 45


def test_nobody_is_a_storm_too() -> None:
    assert (run(readers=0).last, run(readers=0).peak) == (0, 0)


def test_the_same_seed_is_the_same_storm() -> None:
    assert run(silent=1) == run(silent=1)
    assert run(silent=1) != run(silent=1, seed=2)
