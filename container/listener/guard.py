"""Who is connected to a listener: how many, from where, since when, and what was turned away."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Final, Protocol

from container.listener.refusals import Limits, Refusal

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.5
"""How often the deadlines are looked at."""

MAX_PARTING: Final = 256
"""Refused clients that are given a moment to read why, at once; more are closed without."""

EVICTED: Final = 32
"""How many idle connections make room at once: looking for the oldest costs a walk over all."""

VOUCHED_SECONDS: Final = 60.0
"""An address that speaks for many is not counted for so long after its last vouched connection: of those that come all
at once none has said yet who it is."""

TOLD_SECONDS: Final = 10.0
"""A line for each kind of refusal in this time; the others are counted, and the next line says how many."""


class Guarded(Protocol):
    """A connection. `address`: its peer's. `head_bytes`: of a head that is not whole. `quiet_since`: when something
    came last, on the loop's clock. `vouched`: it is not held against its address."""

    address: str
    head_bytes: int
    quiet_since: float
    vouched: bool

    def is_gone(self) -> bool: ...

    def is_idle(self) -> bool: ...

    def overdue(self, now: float) -> Refusal | None: ...

    def turn_away(self, refusal: Refusal) -> None: ...

    def force_close(self) -> None: ...


class Guard:
    """Who is connected to one listener, and what was turned away."""

    def __init__(self, limits: Limits, turned_away: Counter[str], headers: Mapping[str, str]) -> None:
        self.limits = limits
        self.headers = headers
        self.unfinished_bytes = 0
        self._turned_away = turned_away
        self._open: set[Guarded] = set()
        self._parting: set[Guarded] = set()
        self._addresses: Counter[str] = Counter()
        self._vouched: Counter[str] = Counter()
        self._vouched_until: dict[str, float] = {}
        self._told: dict[Refusal, tuple[float, int]] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def admit(self, connection: Guarded) -> Refusal | None:
        """Take the connection in, or say why not. Idle ones make room for it."""
        limits, address = self.limits, connection.address
        if 0 < limits.per_address <= self._addresses[address] and not self._is_vouched(address):
            return Refusal.ADDRESS
        if len(self._open) >= limits.connections and not self._make_room():
            return Refusal.CONNECTIONS
        self._open.add(connection)
        self._addresses[address] += 1
        self._keep_looking()
        return None

    def vouch(self, connection: Guarded) -> None:
        """Count the connection no longer with its address, nor those that come from there: it is many clients'."""
        if connection in self._open and not connection.vouched:
            connection.vouched = True
            self._forget_address(connection)
            self._vouched[connection.address] += 1

    def part(self, connection: Guarded) -> bool:
        """Whether there is room to wait until a refused client has read why."""
        if len(self._parting) >= MAX_PARTING:
            return False
        self._parting.add(connection)
        self._keep_looking()
        return True

    def forget(self, connection: Guarded) -> None:
        """The connection has ended; may be said twice."""
        self._parting.discard(connection)
        if connection in self._open:
            self._open.discard(connection)
            self.unfinished_bytes -= connection.head_bytes
            connection.head_bytes = 0
            if connection.vouched:
                self._forget_vouched(connection.address)
            else:
                self._forget_address(connection)

    def note(self, refusal: Refusal, address: str, kind: str = "") -> None:
        """Count it, and write a line unless there was one of its kind just now. `kind`: the class of what was wrong."""
        self._turned_away[refusal] += 1
        now = self._loop.time()
        at, untold = self._told.get(refusal, (-TOLD_SECONDS, 0))
        if now - at < TOLD_SECONDS:
            self._told[refusal] = (at, untold + 1)
            return
        self._told[refusal] = (now, 0)
        more = f", and {untold} more since the last line" if untold else ""
        log.warning("turned away: %s%s, from %s%s", refusal, kind and f" ({kind})", address, more)

    def close(self) -> None:
        """No more deadlines; may be called twice."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _forget_address(self, connection: Guarded) -> None:
        self._addresses[connection.address] -= 1
        if not self._addresses[connection.address]:
            del self._addresses[connection.address]

    def _forget_vouched(self, address: str) -> None:
        now = self._loop.time()
        self._vouched_until = {one: until for one, until in self._vouched_until.items() if until > now}
        self._vouched_until[address] = now + VOUCHED_SECONDS
        self._vouched[address] -= 1
        if not self._vouched[address]:
            del self._vouched[address]

    def _is_vouched(self, address: str) -> bool:
        return address in self._vouched or self._vouched_until.get(address, 0.0) > self._loop.time()

    def _make_room(self) -> bool:
        idle = sorted((one for one in self._open if one.is_idle()), key=lambda one: one.quiet_since)
        for connection in idle[:EVICTED]:
            connection.force_close()
            self.forget(connection)
        return bool(idle)

    def _keep_looking(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = self._loop.call_later(TICK_SECONDS, self._look)

    def _look(self) -> None:
        """Only while somebody is connected: nothing is left behind to wake an idle process."""
        now = self._loop.time()
        for connection in tuple(self._open | self._parting):
            if connection.is_gone():
                self.forget(connection)
            elif refusal := connection.overdue(now):
                self.note(refusal, connection.address)
                connection.turn_away(refusal)
        for refusal, (at, untold) in tuple(self._told.items()):
            if untold and now - at >= TOLD_SECONDS:
                self._told[refusal] = (now, 0)
                log.warning("turned away: %s, %d more since the last line", refusal, untold)
        self._timer = None
        if self._open or self._parting or any(untold for _, untold in self._told.values()):
            self._keep_looking()
