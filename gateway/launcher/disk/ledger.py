"""The books of a disk: what each session has, what it may have, who must be measured again, who is cut. Pure.

A session cannot have grown by more than the disk's free space has fallen since it was measured, unless others freed as
much at the same moment. So one that is far from its limit is not measured, however much is written elsewhere; and all
of them are measured again by turns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from gateway.launcher.disk.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MIB: Final = 1024 * 1024

SLACK: Final = Usage(64 * MIB, 2_000)
"""What a session that is over its quota when its sandbox starts may still write: the run's own log, what an agent
needs that is asked to delete files."""

MARGIN: Final = Usage(1024 * MIB, 100_000)
"""At least so far beyond the quota, or a quarter of it, a session's sandbox may still start, so that its files can be
cleaned up from within."""

RECOVERED: Final = 1.1
"""A disk that was low is so no more when it has so many times its reserve."""

TURN_SECONDS: Final = 60.0
"""After so long a session is measured again, whatever was written."""

URGENT_SHARE: Final = 3.0
TURN_SHARE: Final = 20.0
"""A measurement is not made again before so many times its own length."""


class Cut(StrEnum):
    """Why a session's sandbox is ended; the name is that of the error which its owner sees."""

    QUOTA = "disk-quota"
    LOW = "disk-low"


@dataclass(frozen=True, slots=True)
class Space:
    """Of a file system, for those who are not root: bytes and inodes. `all_…`: free and used; no inodes in all where it
    does not count them (btrfs)."""

    free: int
    all: int
    free_inodes: int
    all_inodes: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a session: `size` in bytes, `inodes`. `reserve`: the share of the disk that stays free, 0 to 1. 0: none."""

    size: int
    inodes: int
    reserve: float

    def hard(self) -> Usage:
        """Beyond this no sandbox of a session starts."""
        return Usage(
            self.size + max(self.size // 4, MARGIN.size) if self.size else 0,
            self.inodes + max(self.inodes // 4, MARGIN.inodes) if self.inodes else 0,
        )


@dataclass(slots=True)
class _Account:
    container: str = ""
    usage: Usage = field(default_factory=Usage)
    known: bool = False
    base: Usage = field(default_factory=Usage)
    """The least that it had since its container started."""
    low_base: Usage | None = None
    """The least that it had since the disk is low."""
    fallen: tuple[int, int] = (0, 0)
    measured_at: float = float("-inf")
    seconds: float = 0.0


class Ledger:
    """`look` at the disk, `see` who runs, measure who is `due`, tell it as `measured`, and cut whom that names."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.low = False
        self.space: Space | None = None
        self._fallen = (0, 0)
        self._accounts: dict[str, _Account] = {}
        self._running: frozenset[str] = frozenset()

    def look(self, space: Space) -> None:
        """What the disk has now."""
        before, self.space = self.space, space
        if before is not None:
            self._fallen = (
                self._fallen[0] + max(0, before.free - space.free),
                self._fallen[1] + max(0, before.free_inodes - space.free_inodes),
            )
        low = self._is_low(space, RECOVERED if self.low else 1.0)
        if low != self.low:
            self.low = low
            for account in self._accounts.values():
                account.low_base = None

    def see(self, running: Mapping[str, str]) -> None:
        """Who runs now: session → container. Another container of a session begins its account anew."""
        self._running = frozenset(running)
        for session, container in running.items():
            account = self._accounts.setdefault(session, _Account())
            if account.container != container:
                account.container, account.known, account.low_base = container, False, None
        hard = self.limits.hard()
        for session in [
            one
            for one, account in self._accounts.items()
            if one not in running and account.known and not _beyond(account.usage, hard)
        ]:
            del self._accounts[session]  # nobody writes there; it is measured when it starts

    def forget(self, session: str) -> None:
        """Its files are deleted."""
        self._accounts.pop(session, None)

    def due(self, now: float) -> Sequence[str]:
        """Who is to be measured, the most urgent first."""
        urgent: list[tuple[int, float, str]] = []
        for session, account in self._accounts.items():
            since = now - account.measured_at
            if not account.known:
                if since >= account.seconds * URGENT_SHARE:
                    urgent.append((0, account.measured_at, session))
            elif session not in self._running:
                continue
            elif self._may_be_over(account) and since >= account.seconds * URGENT_SHARE:
                urgent.append((1, account.measured_at, session))
            elif since >= max(TURN_SECONDS, account.seconds * TURN_SHARE):
                urgent.append((2, account.measured_at, session))
        return [session for _, _, session in sorted(urgent)]

    def mark(self) -> tuple[int, int]:
        """How far free space has fallen in all: taken before a measurement and told with its result."""
        return self._fallen

    def most(self, session: str) -> Usage:
        """More of a session than this need not be counted; 0: no limit."""
        account = self._accounts.get(session)
        if account is None or not account.known or session not in self._running:
            return self.limits.hard()
        return self._allowed(account)

    def measured(
        self, session: str, container: str, usage: Usage, *, mark: tuple[int, int], now: float, seconds: float
    ) -> Cut | None:
        """What a session has; why its sandbox is to be ended, if it is. `container`: the one that ran when its
        measurement began."""
        account = self._accounts.get(session)
        if account is None or account.container != container:
            return None
        first = not account.known
        account.usage, account.fallen, account.measured_at, account.seconds = usage, mark, now, seconds
        account.known = True
        account.base = usage if first else _least(account.base, usage)
        if self.low:
            account.low_base = usage if account.low_base is None else _least(account.low_base, usage)
        if session not in self._running:
            return None
        too_much = usage.endless and bool(self.limits.size or self.limits.inodes)
        if too_much or _beyond(usage, self._quota(account)):
            return Cut.QUOTA
        return Cut.LOW if _beyond(usage, self._allowed(account)) else None

    def unmeasured(self, session: str, *, now: float, seconds: float) -> None:
        """A measurement came to nothing after so many seconds: the next one waits as behind any other."""
        account = self._accounts.get(session)
        if account is not None:
            account.measured_at, account.seconds = now, seconds

    def ended(self, session: str) -> None:
        """Its sandbox was ended: what is left there is measured once more, all of it."""
        account = self._accounts.get(session)
        if account is not None:
            self._running -= {session}
            account.known, account.seconds = False, 0.0

    def refusal(self, session: str) -> Cut | None:
        """Why no sandbox of this session may start now."""
        account = self._accounts.get(session)
        if account is not None and account.known and _beyond(account.usage, self.limits.hard()):
            return Cut.QUOTA
        return Cut.LOW if self.low else None

    def usage(self, session: str) -> Usage | None:
        """What it had when it was measured last."""
        account = self._accounts.get(session)
        return account.usage if account is not None and account.known else None

    @property
    def over(self) -> int:
        """How many sessions have more than their quota, of those that are known."""
        quota = Usage(self.limits.size, self.limits.inodes)
        return sum(account.known and _beyond(account.usage, quota) for account in self._accounts.values())

    @property
    def reserve(self) -> Usage:
        """Bytes and inodes that stay free."""
        space = self.space
        if space is None:
            return Usage()
        return Usage(int(space.all * self.limits.reserve), int(space.all_inodes * self.limits.reserve))

    def container(self, session: str) -> str:
        """The container that the session was last seen with; empty when it has none."""
        account = self._accounts.get(session)
        return account.container if account is not None else ""

    def _quota(self, account: _Account) -> Usage:
        """What the session may have while the disk has room."""
        limits, hard, base = self.limits, self.limits.hard(), account.base
        return Usage(
            limits.size if base.size <= limits.size else min(base.size + SLACK.size, hard.size),
            limits.inodes if base.inodes <= limits.inodes else min(base.inodes + SLACK.inodes, hard.inodes),
        )

    def _allowed(self, account: _Account) -> Usage:
        """What the session may have now."""
        quota, base, space = self._quota(account), account.low_base, self.space
        if not self.low or base is None or space is None:
            return quota
        # Of all that run together an eighth of the reserve.
        parts, reserve = 8 * max(1, len(self._running)), self.reserve
        size = base.size + min(SLACK.size, reserve.size // parts)
        inodes = base.inodes + min(SLACK.inodes, reserve.inodes // parts) if space.all_inodes else 0
        return Usage(_lower(quota.size, size), _lower(quota.inodes, inodes))

    def _is_low(self, space: Space, factor: float) -> bool:
        reserve = self.limits.reserve * factor
        return bool(reserve) and (
            space.free < space.all * reserve
            or (space.all_inodes > 0 and space.free_inodes < space.all_inodes * reserve)
        )

    def _may_be_over(self, account: _Account) -> bool:
        if self.low and account.low_base is None:
            return True
        grown = Usage(
            account.usage.size + self._fallen[0] - account.fallen[0],
            account.usage.inodes + self._fallen[1] - account.fallen[1],
        )
        return _beyond(grown, self._allowed(account))


def _beyond(usage: Usage, limit: Usage) -> bool:
    return bool((limit.size and usage.size > limit.size) or (limit.inodes and usage.inodes > limit.inodes))


def _least(one: Usage, other: Usage) -> Usage:
    return Usage(min(one.size, other.size), min(one.inodes, other.inodes))


def _lower(one: int, other: int) -> int:
    """The lower of two limits, of which 0 is none."""
    return min(one or other, other or one)
