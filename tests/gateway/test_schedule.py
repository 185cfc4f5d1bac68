"""When the pool has which size: every form that is read, clocks that are put forward and back, what is refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schedule import DAY_MINUTES, DAYS, MOST, read_schedule

BERLIN = "Mon-Fri 08:00-18:00 Europe/Berlin 10"
OTHERWISE = 2


def at(local: str, zone: str = "Europe/Berlin", fold: int = 0) -> float:
    """Epoch seconds of what a clock there shows: ISO 8601. The week of 2026-01-12 begins on that Monday."""
    return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


@pytest.mark.parametrize(
    ("text", "local", "size"),
    [
        ("", "2026-01-12T12:00", OTHERWISE),
        (" ; ", "2026-01-12T12:00", OTHERWISE),
        (BERLIN, "2026-01-12T07:59:59", OTHERWISE),
        (BERLIN, "2026-01-12T08:00", 10),
        (BERLIN, "2026-01-16T17:59:59", 10),
        (BERLIN, "2026-01-16T18:00", OTHERWISE),
        (BERLIN, "2026-01-17T12:00", OTHERWISE),
        (BERLIN, "2026-07-13T08:00", 10),
        # Days: one, several, a range over Sunday.
        ("Wed 00:00-24:00 Europe/Berlin 1", "2026-01-14T23:59:59", 1),
        ("Wed 00:00-24:00 Europe/Berlin 1", "2026-01-15T00:00", OTHERWISE),
        ("Mon,Wed,Sat-Sun 09:00-10:00 Europe/Berlin 1", "2026-01-18T09:30", 1),
        ("Mon,Wed,Sat-Sun 09:00-10:00 Europe/Berlin 1", "2026-01-13T09:30", OTHERWISE),
        ("Sat-Mon 09:00-10:00 Europe/Berlin 1", "2026-01-12T09:30", 1),
        ("Sat-Mon 09:00-10:00 Europe/Berlin 1", "2026-01-16T09:30", OTHERWISE),
        # Over midnight it is of the day on which it begins.
        ("Fri 22:00-06:00 Europe/Berlin 5", "2026-01-16T05:00", OTHERWISE),
        ("Fri 22:00-06:00 Europe/Berlin 5", "2026-01-16T22:00", 5),
        ("Fri 22:00-06:00 Europe/Berlin 5", "2026-01-17T05:59", 5),
        ("Fri 22:00-06:00 Europe/Berlin 5", "2026-01-17T06:00", OTHERWISE),
        ("Sun 22:00-06:00 Europe/Berlin 5", "2026-01-12T05:59", 5),
        ("Fri 22:00-00:00 Europe/Berlin 5", "2026-01-16T23:59", 5),
        ("Fri 22:00-00:00 Europe/Berlin 5", "2026-01-17T00:00", OTHERWISE),
        # Of several the greatest holds, wherever it stands; none adds up, and any may be less than what else holds.
        ("Mon 08:00-12:00 Europe/Berlin 3; Mon 10:00-14:00 Europe/Berlin 7", "2026-01-12T11:00", 7),
        ("Mon 10:00-14:00 Europe/Berlin 7;Mon 08:00-12:00 Europe/Berlin 3;", "2026-01-12T09:00", 3),
        ("Sat-Sun 00:00-24:00 Europe/Berlin 0", "2026-01-17T12:00", 0),
        # Two offices, each by its own clocks: 08:00 in New York is 14:00 in Berlin.
        (f"{BERLIN}; Mon-Fri 08:00-18:00 America/New_York 4", "2026-01-12T14:00", 10),
        (f"{BERLIN}; Mon-Fri 08:00-18:00 America/New_York 4", "2026-01-12T23:59", 4),
    ],
)
def test_the_size_at_a_time(text: str, local: str, size: int) -> None:
    assert read_schedule(text, OTHERWISE).size(at(local)) == size


def test_a_window_goes_with_clocks_that_are_put_forward_and_back() -> None:
    night = read_schedule("Sun 02:00-03:00 Europe/Berlin 5; Sun 04:00-05:00 Europe/Berlin 9", 0)
    # On 29 March 2026 the clocks there go from 02:00 to 03:00: that hour is none.
    assert {night.size(at("2026-03-29T01:59") + minute * 60) for minute in range(61)} == {0}
    assert night.size(at("2026-03-29T04:00")) == 9
    # On 25 October 2026 they go from 03:00 to 02:00: that hour is twice.
    assert (night.size(at("2026-10-25T02:30")), night.size(at("2026-10-25T02:30", fold=1))) == (5, 5)
    assert at("2026-10-25T02:30", fold=1) - at("2026-10-25T02:30") == 3600
    assert night.size(at("2026-10-25T03:00")) == 0
    # A night is as long as its clocks make it.
    sleep = read_schedule("Sat 22:00-06:00 Europe/Berlin 1", 0)
    noons = [at(day) for day in ("2026-01-17T12:00", "2026-03-28T12:00", "2026-10-24T12:00")]
    assert [sum(sleep.size(noon + hour * 3600) for hour in range(24)) for noon in noons] == [8, 7, 9]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("10", "'10' is not days, times, a time zone and a size"),
        (f"{BERLIN}, {BERLIN}", f"'{BERLIN}, {BERLIN}' is not days, times, a time zone and a size"),
        ("Mon-Fri 08:00 - 18:00 Europe/Berlin 10", "'Mon-Fri 08:00 - 18:00 Europe/Berlin 10' is not days"),
        ("Mo-Fr 08:00-18:00 Europe/Berlin 10", "'Mo-Fr' is not one of Mon, Tue, Wed, Thu, Fri, Sat, Sun"),
        ("mon 08:00-18:00 Europe/Berlin 10", "'mon' is not one of Mon, "),
        ("Mon- 08:00-18:00 Europe/Berlin 10", "'Mon-' is not one of Mon, "),
        ("Mon, 08:00-18:00 Europe/Berlin 10", "'' is not one of Mon, "),
        ("Mon-Wed-Fri 08:00-18:00 Europe/Berlin 10", "'Mon-Wed-Fri' is not one of Mon, "),
        ("Mon-Fri 8-18 Europe/Berlin 10", "'8-18' is not two times with - between, such as 08:00-18:00"),
        ("Mon-Fri 08:00-18:60 Europe/Berlin 10", "'08:00-18:60' is not two times"),
        ("Mon-Fri 08:00-24:01 Europe/Berlin 10", "'08:00-24:01' is not two different times from 00:00 to"),
        ("Mon-Fri 24:00-08:00 Europe/Berlin 10", "'24:00-08:00' is not two different times"),
        ("Mon-Fri 08:00-08:00 Europe/Berlin 10", "a whole day is 00:00-24:00"),
        ("Mon-Fri 08:00-18:00 Berlin 10", "'Berlin' is not a time zone of the IANA database, such as"),
        ("Mon-Fri 08:00-18:00 ../Berlin 10", "'../Berlin' is not a time zone"),
        ("Mon-Fri 08:00-18:00 europe/berlin 10", "'europe/berlin' is not a time zone"),
        ("Mon-Fri 08:00-18:00 +01:00 10", "'+01:00' is not a time zone"),
        ("Mon-Fri 08:00-18:00 Europe/Berlin 1001", "'1001' is not a size from 0 to 1000"),
        ("Mon-Fri 08:00-18:00 Europe/Berlin -1", "'-1' is not a size"),
        ("Mon-Fri 08:00-18:00 Europe/Berlin ten", "'ten' is not a size"),
        (f"{BERLIN}; Sat 10:00-12:00 UTC x", "'x' is not a size"),
    ],
)
def test_what_it_cannot_read_it_refuses_by_the_part_that_is_wrong(text: str, why: str) -> None:
    with pytest.raises(
        ValueError, match=r"^it must be windows such as Mon-Fri 08:00-18:00 Europe/Berlin 10, "
    ) as refused:
        read_schedule(text, 0)
    assert why in str(refused.value)


def test_the_largest_is_that_of_any_time() -> None:
    assert read_schedule("", 3).largest == 3
    assert read_schedule(BERLIN, 3).largest == 10
    assert read_schedule(BERLIN, 30).largest == 30


ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
)

minutes = st.integers(0, DAY_MINUTES - 1)


@given(
    days=st.sets(st.integers(0, 6), min_size=1),
    begin=minutes,
    end=st.integers(0, DAY_MINUTES),
    zone=st.sampled_from(ZONES),
    size=st.integers(0, MOST),
    now=st.integers(1_700_000_000, 1_900_000_000),
)
def test_it_is_by_the_clocks_on_the_wall(
    days: set[int], begin: int, end: int, zone: str, size: int, now: int
) -> None:
    """Said once more by dates: of yesterday's and today's window, whether the clock shows a time within one."""
    if begin == end:
        end = DAY_MINUTES if begin == 0 else 0
    shown = [f"{minute // 60:02}:{minute % 60:02}" for minute in (begin, end)]
    text = f"{','.join(DAYS[day] for day in days)} {'-'.join(shown)} {zone} {size}"
    clock = datetime.fromtimestamp(now, ZoneInfo(zone)).replace(tzinfo=None)
    midnight = clock.replace(hour=0, minute=0, second=0, microsecond=0)
    holds = False
    for day in (midnight, midnight - timedelta(days=1)):
        last = day + timedelta(days=int(end < begin), minutes=end)
        holds |= day.weekday() in days and day + timedelta(minutes=begin) <= clock < last
    read = read_schedule(text, MOST + 1)
    assert read.size(now) == (size if holds else MOST + 1)
