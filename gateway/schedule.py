"""When the pool has which size: windows of the week by the clocks of a time zone, and what holds outside of them.

infra/schedule.py is this file once more, as infra imports nothing of the gateway's; a test holds them equal.
"""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

DAY_MINUTES: Final = 24 * 60

MOST: Final = 1000
"""The greatest size."""

FORM: Final = "windows such as Mon-Fri 08:00-18:00 Europe/Berlin 10, with ; between them"

_SIZE: Final = re.compile(r"\d{1,4}", re.ASCII)

_TIMES: Final = re.compile(r"(\d\d):([0-5]\d)-(\d\d):([0-5]\d)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """`days` on which it begins (0 is Monday). `begin`, `end`: minutes of the day by the clocks of `zone`, whatever
    they are put forward or back; an `end` that is not behind `begin` is on the next day."""

    days: frozenset[int]
    begin: int
    end: int
    zone: zoneinfo.ZoneInfo
    size: int

    def holds(self, now: float) -> bool:
        """Whether the time `now` (epoch seconds) is in it."""
        local = datetime.fromtimestamp(now, self.zone)
        today, minute = local.weekday(), local.hour * 60 + local.minute
        if self.begin < self.end:
            return today in self.days and self.begin <= minute < self.end
        yesterday = (today - 1) % len(DAYS)
        return (today in self.days and minute >= self.begin) or (yesterday in self.days and minute < self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The size that holds at a time: the greatest of the windows that hold, and `otherwise` where none does."""

    windows: tuple[Window, ...]
    otherwise: int

    @property
    def largest(self) -> int:
        """The greatest size that it ever has."""
        return max((self.otherwise, *(window.size for window in self.windows)))

    def size(self, now: float) -> int:
        """At the time `now`, in epoch seconds."""
        return max((window.size for window in self.windows if window.holds(now)), default=self.otherwise)


def read_schedule(text: str, otherwise: int) -> Schedule:
    """Raises `ValueError` that says what the text must be, and what in it is not."""
    parts = [part.strip() for part in text.split(";")]
    return Schedule(windows=tuple(_window(part) for part in parts if part), otherwise=otherwise)


def _window(part: str) -> Window:
    words = part.split()
    if len(words) != 4:
        raise _refusal(part, "days, times, a time zone and a size")
    days, times, zone, size = words
    begin, end = _times(times)
    if zone not in _zones():
        raise _refusal(zone, "a time zone of the IANA database, such as Europe/Berlin or UTC")
    if not _SIZE.fullmatch(size) or int(size) > MOST:
        raise _refusal(size, f"a size from 0 to {MOST}")
    return Window(days=_days(days), begin=begin, end=end, zone=zoneinfo.ZoneInfo(zone), size=int(size))


def _days(text: str) -> frozenset[int]:
    """Of days and ranges of them, with commas between; a range may go over Sunday."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS or part.endswith("-"):
            raise _refusal(part, f"one of {', '.join(DAYS)}, or two of them with - between")
        begin = DAYS.index(first)
        count = (DAYS.index(last or first) - begin) % len(DAYS) + 1
        found |= {(begin + day) % len(DAYS) for day in range(count)}
    return frozenset(found)


def _times(text: str) -> tuple[int, int]:
    matched = _TIMES.fullmatch(text)
    if matched is None:
        raise _refusal(text, "two times with - between, such as 08:00-18:00")
    hour, minute, last_hour, last_minute = map(int, matched.groups())
    begin, end = hour * 60 + minute, last_hour * 60 + last_minute
    if begin >= DAY_MINUTES or end > DAY_MINUTES or begin == end:
        raise _refusal(text, "two different times from 00:00 to 24:00; a whole day is 00:00-24:00")
    return begin, end


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _refusal(part: str, wanted: str) -> ValueError:
    return ValueError(f"it must be {FORM}: {part!r} is not {wanted}")
