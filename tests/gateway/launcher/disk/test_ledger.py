"""The books of a disk: who is measured when, who is cut, when a disk is low, and that cleaning up helps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.launcher.disk.ledger import MARGIN, MIB, SLACK, TURN_SECONDS, Cut, Ledger, Limits, Space
from gateway.launcher.disk.usage import Usage

GIB = 1024 * MIB
ALL = 100 * GIB
QUOTA = 10 * GIB


def _ledger(*, size: int = QUOTA, inodes: int = 500_000, reserve: float = 0.1) -> Ledger:
    ledger = Ledger(Limits(size, inodes, reserve))
    ledger.look(_space(60 * GIB))
    return ledger


def _space(free: int, free_inodes: int = 5_000_000) -> Space:
    return Space(free, ALL, free_inodes, 6_000_000)


def _measured(
    ledger: Ledger, session: str, size: int, inodes: int = 10, *, now: float = 0.0, seconds: float = 0.0
) -> Cut | None:
    return ledger.measured(
        session,
        ledger.container(session),
        Usage(size, inodes),
        mark=ledger.mark(),
        now=now,
        seconds=seconds,
    )


def test_who_starts_is_measured_and_then_by_turns() -> None:
    ledger = _ledger()
    ledger.see({"a": "1", "b": "2"})
    assert sorted(ledger.due(0.0)) == ["a", "b"]
    assert _measured(ledger, "a", GIB) is None
    assert ledger.due(1.0) == ["b"]
    assert _measured(ledger, "b", GIB, now=1.0) is None
    assert ledger.due(TURN_SECONDS - 0.1) == []
    assert ledger.due(TURN_SECONDS + 0.1) == ["a"]


def test_a_large_tree_is_measured_less_often() -> None:
    ledger = _ledger()
    ledger.see({"a": "1"})
    _measured(ledger, "a", GIB, seconds=10.0)
    assert ledger.due(TURN_SECONDS + 1) == []
    assert ledger.due(201.0) == ["a"]


def test_only_who_may_have_too_much_is_measured_when_the_disk_fills() -> None:
    ledger = _ledger()
    ledger.see({"small": "1", "large": "2"})
    _measured(ledger, "small", GIB)
    _measured(ledger, "large", 9 * GIB)
    ledger.look(_space(58 * GIB))
    assert ledger.due(0.5) == ["large"]
    _measured(ledger, "large", 9 * GIB, now=0.5)
    assert ledger.due(1.0) == []
    ledger.look(_space(56 * GIB))
    ledger.look(_space(58 * GIB))  # what somebody frees hides nothing that was written before
    assert ledger.due(1.0) == ["large"]
    ledger.look(_space(50 * GIB))
    assert set(ledger.due(1.5)) == {"large", "small"}


def test_inodes_are_watched_as_bytes_are() -> None:
    ledger = _ledger()
    ledger.see({"a": "1"})
    _measured(ledger, "a", GIB, 400_000)
    ledger.look(_space(60 * GIB, 4_850_000))
    assert ledger.due(0.5) == ["a"]
    assert _measured(ledger, "a", GIB, 510_000) is Cut.QUOTA


def test_who_has_too_much_is_cut_and_may_come_back_to_clean_up() -> None:
    ledger = _ledger()
    ledger.see({"a": "1"})
    _measured(ledger, "a", GIB)
    assert _measured(ledger, "a", QUOTA) is None
    assert _measured(ledger, "a", QUOTA + 1) is Cut.QUOTA
    ledger.ended("a")
    assert ledger.due(0.0) == ["a"]  # what it really has
    assert _measured(ledger, "a", QUOTA + GIB // 2) is None
    assert ledger.over == 1
    assert ledger.refusal("a") is None
    ledger.see({"a": "2"})
    assert ledger.due(0.0) == ["a"]
    assert _measured(ledger, "a", QUOTA + GIB // 2) is None
    assert _measured(ledger, "a", QUOTA + GIB // 2 + SLACK.size) is None
    assert _measured(ledger, "a", QUOTA + GIB // 2 + SLACK.size + 1) is Cut.QUOTA


def test_what_was_cleaned_up_is_not_given_back() -> None:
    ledger = _ledger()
    ledger.see({"a": "1"})
    _measured(ledger, "a", QUOTA + 2 * GIB)
    _measured(ledger, "a", QUOTA + GIB)
    assert _measured(ledger, "a", QUOTA + GIB + SLACK.size + 1) is Cut.QUOTA
    ledger.see({"a": "2"})
    _measured(ledger, "a", QUOTA + GIB)
    assert _measured(ledger, "a", QUOTA - GIB) is None
    assert _measured(ledger, "a", QUOTA + 1) is Cut.QUOTA
    assert _measured(ledger, "a", QUOTA) is None


def test_far_beyond_its_quota_a_session_starts_no_more_until_it_is_emptied() -> None:
    ledger = _ledger()
    ledger.see({"a": "1"})
    much = QUOTA + max(QUOTA // 4, MARGIN.size) + 1
    assert _measured(ledger, "a", much) is Cut.QUOTA  # also as the first thing that is known of it
    ledger.ended("a")
    _measured(ledger, "a", much)
    ledger.see({})
    assert ledger.refusal("a") is Cut.QUOTA
    assert ledger.refusal("b") is None
    ledger.forget("a")
    assert ledger.refusal("a") is None


def test_a_session_that_stopped_within_its_quota_is_forgotten() -> None:
    ledger = _ledger()
    ledger.see({"a": "1"})
    _measured(ledger, "a", GIB)
    ledger.see({})
    assert ledger.usage("a") is None
    assert ledger.due(1000.0) == []


def test_an_answer_about_a_container_that_is_gone_counts_for_nothing() -> None:
    ledger = _ledger()
    ledger.see({"a": "1"})
    ledger.see({"a": "2"})
    assert ledger.measured("a", "1", Usage(ALL, 1), mark=ledger.mark(), now=0.0, seconds=0.0) is None
    assert ledger.usage("a") is None


def test_what_cannot_be_counted_is_too_much() -> None:
    ledger = _ledger()
    ledger.see({"a": "1"})
    deep = Usage(MIB, 10, whole=False, endless=True)
    assert ledger.measured("a", "1", deep, mark=(0, 0), now=0.0, seconds=0.0) is Cut.QUOTA


def test_a_measurement_that_came_to_nothing_is_not_made_again_at_once() -> None:
    ledger = _ledger()
    ledger.see({"a": "1"})
    ledger.unmeasured("a", now=100.0, seconds=300.0)
    assert ledger.due(101.0) == []
    assert ledger.due(1001.0) == ["a"]
    ledger.unmeasured("gone", now=0.0, seconds=0.0)


def test_a_disk_is_low_below_its_reserve_and_recovers_by_itself() -> None:
    ledger = _ledger()
    found = []
    # Half a GiB above it once it was low: not to and fro.
    for free in (10 * GIB, 10 * GIB - 1, 10 * GIB + GIB // 2, 11 * GIB + MIB):
        ledger.look(_space(free))
        found.append((ledger.low, ledger.refusal("a")))
    assert found == [(False, None), (True, Cut.LOW), (True, Cut.LOW), (False, None)]
    ledger.look(_space(60 * GIB, 500_000))
    assert ledger.low


def test_a_file_system_that_counts_no_inodes_is_not_low_of_them() -> None:
    ledger = _ledger()
    ledger.look(Space(60 * GIB, ALL, 0, 0))
    assert not ledger.low


def test_while_a_disk_is_low_who_goes_on_writing_is_cut_and_nobody_else() -> None:
    ledger = _ledger()
    ledger.see({"writer": "1", "talker": "2"})
    _measured(ledger, "writer", GIB)
    _measured(ledger, "talker", GIB)
    ledger.look(_space(9 * GIB))
    assert set(ledger.due(0.5)) == {"writer", "talker"}  # where they stand
    assert _measured(ledger, "writer", 2 * GIB, now=0.5) is None
    assert _measured(ledger, "talker", GIB, now=0.5) is None
    ledger.look(_space(8 * GIB))
    assert set(ledger.due(1.0)) == {"writer", "talker"}
    assert _measured(ledger, "writer", 3 * GIB, now=1.0) is Cut.LOW
    assert _measured(ledger, "talker", GIB + MIB, now=1.0) is None
    part = Usage(4 * GIB, 10, whole=False)  # more need not be counted
    assert ledger.measured("writer", "1", part, mark=ledger.mark(), now=1.5, seconds=0.0) is Cut.LOW


def test_by_whom_a_low_disk_is_filled_further_is_bounded_together() -> None:
    ledger = _ledger()
    sessions = {f"s{number}": str(number) for number in range(100)}
    ledger.see(sessions)
    ledger.look(_space(9 * GIB))
    for session in sessions:
        _measured(ledger, session, GIB)
    share = int(0.1 * ALL) // 800
    assert all(_measured(ledger, session, GIB + share) is None for session in sessions)
    assert _measured(ledger, "s1", GIB + share + 1) is Cut.LOW


def test_a_limit_of_0_is_none() -> None:
    ledger = Ledger(Limits(0, 0, 0.0))
    ledger.look(_space(0, 0))
    ledger.see({"a": "1"})
    assert _measured(ledger, "a", 1000 * ALL, 10**9) is None
    assert not ledger.low
    assert ledger.refusal("a") is None
    deep = Usage(MIB, 10, whole=False, endless=True)
    assert ledger.measured("a", "1", deep, mark=(0, 0), now=0.0, seconds=0.0) is None


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 4 * GIB)),
        max_size=40,
    )
)
def test_nobody_passes_the_quota_unmeasured(steps: list[tuple[str, int]]) -> None:
    """Whoever writes how much in whatever order: at each moment whoever has more than its quota is due."""
    ledger, written, free = _ledger(reserve=0.0), dict.fromkeys("abc", 0), 60 * GIB
    ledger.see({session: session for session in written})
    for session in written:
        _measured(ledger, session, 0)
    for session, size in steps:
        written[session] += size
        free -= size
        ledger.look(_space(free))
        for due in ledger.due(0.0):
            cut = _measured(ledger, due, written[due])
            assert (cut is Cut.QUOTA) == (written[due] > QUOTA)
            if cut is not None:
                free += written[due]
                written[due] = 0
                ledger.look(_space(free))
                ledger.see({one: one for one in written})
                _measured(ledger, due, 0)
        assert all(size <= QUOTA for size in written.values())
