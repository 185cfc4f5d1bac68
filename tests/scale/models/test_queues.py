"""The closed forms, and the clock, by hand."""

from __future__ import annotations

import pytest

from tests.scale.models.engine import Clock
from tests.scale.models.queues import erlang_b, erlang_c, pool_size, waiting_md1


def test_erlang_b_by_hand() -> None:
    """B(1, a) = a / (1 + a); B(2, 1) = (1/2) / (1 + 1 + 1/2); B(0, a): whoever comes finds nothing."""
    assert erlang_b(0, 5) == 1
    assert erlang_b(1, 3) == pytest.approx(3 / 4)
    assert erlang_b(2, 1) == pytest.approx(1 / 5)


def test_erlang_c_by_hand() -> None:
    """With one server a share of the load waits (M/M/1); C(2, 1) = 1/3; past its servers all wait."""
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 1) == pytest.approx(1 / 3)
    assert erlang_c(3, 3) == 1


def test_waiting_by_hand() -> None:
    """Half of M/M/1's: 0.5 / (2 * 0.5) at half a load of seconds."""
    assert waiting_md1(0.5, 1) == pytest.approx(0.5)
    assert waiting_md1(2, 0.5) == float("inf")


def test_the_pools_size_is_the_least_that_does() -> None:
    size = pool_size(74, 0.01)
    assert erlang_b(size, 74) <= 0.01 < erlang_b(size - 1, 74)


def test_the_clock_keeps_to_times_and_then_to_the_order_of_asking() -> None:
    clock, seen = Clock(), list[str]()
    clock.after(2, lambda: seen.append("b"))
    clock.after(1, lambda: clock.after(1, lambda: seen.append("c")))
    clock.after(1, lambda: seen.append("a"))
    clock.after(9, lambda: seen.append("late"))
    clock.run(until=5)
    assert (seen, clock.now) == (["a", "b", "c"], 5)
    with pytest.raises(ValueError, match="past"):
        clock.after(-1, lambda: None)
