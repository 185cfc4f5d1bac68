"""What is recorded: events without content, and the sampler that keeps a flood of them small. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

MOST_CHARS: Final = 256
"""Of each text of an event: ids and names are shorter; the rest of a longer one is left out."""

MOST_DETAILS: Final = 8

WINDOW_SECONDS: Final = 60.0
"""What is counted in place of being recorded is recorded as one event for so long."""

MOST_KEYS: Final = 200
"""Different things that are counted within a window; what comes on top is counted by its kind alone."""


@dataclass(frozen=True, slots=True)
class Event:
    """`at`: epoch seconds. `who`: a user's `sub`, empty where it is nobody or the gateway itself. `session`: which one
    it is about. `address`: the client's. `outcome`: `ok`, or an error's code. `details`: short texts and numbers."""

    at: float
    kind: str
    who: str = ""
    session: str = ""
    address: str = ""
    outcome: str = "ok"
    details: dict[str, str | int] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """As it is kept and shown; what is empty is left out."""
        named = {"who": self.who, "session": self.session, "address": self.address, "outcome": self.outcome}
        told = {name: _bounded(value) for name, value in named.items() if value}
        details = {
            name: _bounded(value) if isinstance(value, str) else value
            for name, value in list(self.details.items())[:MOST_DETAILS]
        }
        return {**details, "at": iso(self.at), "kind": _bounded(self.kind), **told}


def _bounded(text: str) -> str:
    """As much of a text as is kept. Half a character (a token's JSON can name one) has no bytes, and becomes a `?`."""
    return text[:MOST_CHARS].encode("utf-8", "replace").decode()


def iso(seconds: float) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def day_of(seconds: float) -> str:
    """The day in UTC, as `2026-11-30`."""
    return iso(seconds)[:10]


Key = tuple[str, str, str, str]


class Sampler:
    """Lets the first `each` of a kind, user, address and outcome pass in a window, and `most` in all; the rest is
    counted."""

    def __init__(self, *, each: int, most: int) -> None:
        self._each, self._most = each, most
        self._until = 0.0
        self._passed = 0
        self._seen: dict[Key, int] = {}
        self._counted: dict[Key, Event] = {}

    def take(self, event: Event) -> bool:
        """Whether the event is to be recorded; else it is counted, and `over` tells of it."""
        if not self._counted and not self._until - WINDOW_SECONDS <= event.at < self._until:
            self._begin(event.at)
        key = (event.kind, event.who, event.address, event.outcome)
        if self._passed < self._most and self._seen.get(key, 0) < self._each:
            self._passed += 1
            if len(self._seen) < self._most:
                self._seen[key] = self._seen.get(key, 0) + 1
            return True
        if key not in self._counted and len(self._counted) >= MOST_KEYS:
            key = (event.kind, "", "", "")
        first = self._counted.get(key)
        if first is None:
            kind, who, address, outcome = key
            first = Event(event.at, kind, who=who, address=address, outcome=outcome, details={"count": 0})
        self._counted[key] = replace(first, details={"count": int(first.details["count"]) + 1})
        return False

    @property
    def counts(self) -> bool:
        """Whether anything was counted that `over` has not told."""
        return bool(self._counted)

    def over(self, now: float, *, at_once: bool = False) -> list[Event]:
        """One event for each thing that was counted in a window which is over; `at_once`: in the present one too."""
        is_over = not self._until - WINDOW_SECONDS <= now < self._until  # a clock may be put back, too
        if not (self._counted and (at_once or is_over)):
            return []
        found = list(self._counted.values())
        self._begin(now)
        return found

    def _begin(self, now: float) -> None:
        self._until = now + WINDOW_SECONDS
        self._passed = 0
        self._seen, self._counted = {}, {}
