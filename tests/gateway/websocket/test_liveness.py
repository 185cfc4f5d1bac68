"""When a peer is asked, and when it is given up: nothing here waits."""

from __future__ import annotations

from gateway.websocket.liveness import PING_TICKS, SILENT_TICKS, STALL_SECONDS, TICK_SECONDS, Liveness, Sign


def signs(one: Liveness, ticks: int, waiting: int = 0, **peer: bool) -> list[Sign]:
    """What so many ticks in a row tell of a peer that says nothing."""
    is_so = {"full": False, "closing": False, "unread": False, **peer}
    return [one.tick(waiting, number * TICK_SECONDS, **is_so) for number in range(1, ticks + 1)]


def test_who_says_nothing_is_asked_once_and_then_given_up() -> None:
    one = Liveness(0.0)
    assert signs(one, SILENT_TICKS + 1) == [
        *[Sign.WELL] * PING_TICKS,  # it is heard of in the first
        Sign.ASK,
        *[Sign.WELL] * (SILENT_TICKS - PING_TICKS - 1),
        Sign.SILENT,
    ]


def test_who_answers_is_well() -> None:
    one = Liveness(0.0)
    assert signs(one, PING_TICKS + 1)[-1] is Sign.ASK
    one.heard = True
    assert signs(one, PING_TICKS) == [Sign.WELL] * PING_TICKS


def test_who_is_not_read_need_not_say_anything() -> None:
    assert set(signs(Liveness(0.0), 100, unread=True)) == {Sign.WELL}


def test_who_takes_nothing_is_given_up() -> None:
    one = Liveness(0.0)
    one.fill(1000, 0.0)
    stalled = int(STALL_SECONDS / TICK_SECONDS)
    assert signs(one, stalled, 1000, full=True) == [Sign.WELL] * (stalled - 1) + [Sign.STALLED]


def test_who_takes_a_little_is_not() -> None:
    one = Liveness(0.0)
    one.fill(1000, 0.0)
    for number in range(1, 100):
        sign = one.tick(1000 - number, number * TICK_SECONDS, full=True, closing=False, unread=False)
        assert sign is Sign.WELL


def test_behind_our_close_little_that_waits_is_enough() -> None:
    one = Liveness(0.0)
    assert Sign.STALLED in signs(one, 20, 10, closing=True, unread=True)
    assert Sign.STALLED not in signs(Liveness(0.0), 20, 10, unread=True)
