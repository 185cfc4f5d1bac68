"""What is owed is waited for, and credit does not grow beyond a burst."""

from __future__ import annotations

from gateway.websocket.pace import Bucket


class Clock:
    """Says what it is set to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_free_and_what_is_more_is_waited_for() -> None:
    clock = Clock()
    bucket = Bucket(10, 50, clock)
    assert bucket.take(50) == 0
    assert bucket.take(5) == 0.5
    assert bucket.take(5) == 1.0
    clock.now += 1
    assert bucket.take(0) == 0
    assert bucket.take(10) == 1.0


def test_credit_does_not_grow_without_end() -> None:
    clock = Clock()
    bucket = Bucket(10, 50, clock)
    bucket.take(51)
    clock.now += 1000
    assert bucket.take(50) == 0
    assert bucket.take(1) > 0
