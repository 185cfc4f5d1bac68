"""What the proxy must know of a session, as it was a moment ago."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gateway.concurrency.single_flight import SingleFlight

if TYPE_CHECKING:
    from gateway.model import Session
    from gateway.store import Store

CACHE_SECONDS: Final = 2.0
"""For so long a host that was just allowed may still be refused."""

CACHE_ENTRIES: Final = 1024


class KnownSessions:
    """Sessions that were read just now: a package manager opens dozens of connections at once."""

    def __init__(self, store: Store) -> None:
        self._asking: SingleFlight[str, Session] = SingleFlight(store.get_session)
        self._known: dict[str, tuple[float, Session]] = {}

    async def get(self, session: str) -> Session:
        """At most `CACHE_SECONDS` old. Raises `SessionNotFound` and `StoreUnavailable`."""
        now = time.monotonic()
        until, known = self._known.get(session, (0.0, None))
        if known is not None and now < until:
            return known
        found = await self._asking.ask(session)
        self._known.pop(session, None)
        while len(self._known) >= CACHE_ENTRIES:
            del self._known[next(iter(self._known))]
        self._known[session] = (now + CACHE_SECONDS, found)
        return found
