"""Whether a peer is there: it takes what waits for it, and says something when it is asked. No I/O, no clock."""

from __future__ import annotations

from enum import Enum
from typing import Final

TICK_SECONDS: Final = 5.0
PING_TICKS: Final = 4
"""A peer that has said nothing for this many ticks is asked whether it is there."""

SILENT_TICKS: Final = 8
"""One that has not answered by then is gone."""

STALL_SECONDS: Final = 60.0
"""A peer that takes nothing of what waits for it for this long is cut off."""


class Sign(Enum):
    """What a tick tells of a peer."""

    WELL = ""
    ASK = "to be asked"
    SILENT = "no sign of life"
    STALLED = "took nothing for too long"


class Liveness:
    """Looked at once a tick. `heard`: whether the peer has said anything since the last one. `now`: seconds of any
    steady clock."""

    __slots__ = ("_moved_at", "_silent_ticks", "_waiting", "heard")

    def __init__(self, now: float) -> None:
        self.heard = True
        self._silent_ticks = 0
        self._waiting = 0
        self._moved_at = now

    def fill(self, waiting: int, now: float) -> None:
        """So many bytes wait for the peer now that it is full: from here on it has to take some."""
        self._waiting, self._moved_at = waiting, now

    def tick(self, waiting: int, now: float, *, full: bool, closing: bool, unread: bool) -> Sign:
        """What the peer gives to see. `waiting`: bytes that wait for it; behind our close, when we are `closing`, few
        are enough to be stalled. `unread`: nothing is read of it, whatever it says."""
        taken, self._waiting = waiting < self._waiting, waiting
        if taken or not (full or (waiting and closing)):
            self._moved_at = now
        elif now - self._moved_at >= STALL_SECONDS:
            return Sign.STALLED
        if full:
            return Sign.WELL
        if self.heard or unread:
            self.heard, self._silent_ticks = False, 0
            return Sign.WELL
        self._silent_ticks += 1
        if self._silent_ticks >= SILENT_TICKS:
            return Sign.SILENT
        return Sign.ASK if self._silent_ticks == PING_TICKS else Sign.WELL
