"""How many live connections (WebSockets and server-sent events) a user has open at this gateway, within a limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from container.listener.refusals import Refusal
from gateway.errors import TooManyConnections


class Seats:
    """A user's places are given back as soon as a connection ends. `turned_away` counts who got none."""

    def __init__(self, limit: int, turned_away: Counter[str]) -> None:
        self._limit = limit
        self._turned_away = turned_away
        self._taken: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """Live connections of all users."""
        return self._taken.total()

    @contextmanager
    def hold(self, user: str) -> Iterator[None]:
        """A place while the block runs. Raises `TooManyConnections`."""
        if self._taken[user] >= self._limit:
            self._turned_away[Refusal.USER] += 1
            raise TooManyConnections(
                f"You have {self._limit} live connections open here; close a tab, then try again"
            )
        self._taken[user] += 1
        try:
            yield
        finally:
            self._taken[user] -= 1
            if not self._taken[user]:
                del self._taken[user]
