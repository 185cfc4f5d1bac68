"""Rates and quotas: how much of something somebody may have, at once or in a window of time. Frozen data alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

MINUTE: Final = 60
HOUR: Final = 3_600
DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` of `unit` in each window of `seconds`; windows lie end to end from the epoch on, so across the end
    of one there may be twice as many. `rule`: the same in words, the beginning of the sentence that refuses."""

    unit: str
    most: int
    seconds: int
    rule: str

    def ends(self, now: float) -> float:
        """When the window of `now` ends, in epoch seconds."""
        return (now // self.seconds + 1) * self.seconds


@dataclass(frozen=True, slots=True)
class Rate:
    """What is counted (`name`), whose it is (`who`), and its limits, all kept in one item: the longest window is a
    multiple of each other one. No limits: nothing is counted."""

    name: str
    who: str
    limits: tuple[Limit, ...]

    @property
    def seconds(self) -> int:
        """The longest window."""
        return max(limit.seconds for limit in self.limits)


@dataclass(frozen=True, slots=True)
class Reached:
    """A limit that is reached, and the seconds until its window ends."""

    limit: Limit
    seconds: float

    def at(self, seconds: float) -> Reached:
        """The same, later."""
        return Reached(self.limit, seconds)

    def sentence(self) -> str:
        """What is refused, how much there may be, and when again."""
        return f"{self.limit.rule}, and that is reached: try again in {duration(self.seconds)}."


@dataclass(frozen=True, slots=True)
class Held:
    """What somebody has: sessions, and bytes kept for them outside the table. Not `whole`: it is that or more."""

    sessions: int
    stored: int
    whole: bool = True


class Crowd(StrEnum):
    """Whose sandboxes are as many as may be."""

    USER = "user"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A place for a session's sandbox, held until `until` (epoch seconds), by when the driver lists it. `running`:
    what the driver lists now, session → owner ("" where nobody's). `most_of_user`, `most`: 0 is no limit."""

    session: str
    owner: str
    until: float
    running: Mapping[str, str]
    most_of_user: int
    most: int


class Allowance(Protocol):
    """One unit of a rate for one prompt."""

    async def take(self) -> None:
        """Count it. Raises `errors.RateLimited`."""

    async def give_back(self) -> None:
        """Take back what was counted: nothing was admitted for it."""


def duration(seconds: float) -> str:
    """Such as `23 s`, `5 min`, `3 h 10 min`; rounded up."""
    whole = max(1, -int(-seconds // 1))
    if whole <= 2 * MINUTE:
        return f"{whole} s"
    minutes = -(-whole // MINUTE)
    hours, rest = divmod(minutes, 60)
    return " ".join(part for part in (f"{hours} h" * bool(hours), f"{rest} min" * bool(rest)) if part)
