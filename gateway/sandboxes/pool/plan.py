"""What is to be done about the pool's members: how many there should be, which go, which are still to be started."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.schedule import Schedule
    from gateway.store.pool import Member

MARGIN_SECONDS: Final = 15.0
"""A member that is not ready so long after a start may take has failed, whoever started it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`drop`: members that go. `finish`: those whose start somebody began. `start`: how many more are wanted."""

    drop: Sequence[Member]
    finish: Sequence[Member]
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the pool is to be. `most_seconds`: how old a member may become; `start_seconds`: how long a start may
    take."""

    size: int
    fingerprint: str
    most_seconds: float
    start_seconds: float


def size_at(schedule: Schedule, now: float, *, ahead: float) -> int:
    """How many members there should be at the time `now`: those of a size that begins within `ahead` seconds are
    started before it, and those of one that ends are kept until then."""
    return max(schedule.size(now), schedule.size(now + ahead))


def plan(members: Sequence[Member], wanted: Wanted, *, gone: Collection[str], now: float) -> Plan:
    """`gone`: ready members whose sandbox does not run any more. One of another fingerprint goes at once, as no session
    is given it; one that is too old goes once another is ready in its place. Of too many the oldest go, and of those
    that are being started the latest."""
    drop: list[Member] = []
    starting: list[Member] = []
    young: list[Member] = []
    old: list[Member] = []
    for member in members:
        age = now - member.since
        if not wanted.size or member.fingerprint != wanted.fingerprint or member.id in gone:
            drop.append(member)
        elif not member.ready:
            (starting if age <= wanted.start_seconds + MARGIN_SECONDS else drop).append(member)
        else:
            (young if age <= wanted.most_seconds else old).append(member)
    spare = max(0, len(young) + len(old) - wanted.size)
    drop += sorted([*old, *young], key=lambda member: member.since)[:spare]
    missing = max(0, wanted.size - len(young))
    drop += starting[missing:]
    return Plan(drop, starting[:missing], max(0, missing - len(starting)))
