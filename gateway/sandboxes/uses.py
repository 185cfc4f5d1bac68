"""Which sandboxes this gateway has connections to that belong to no run: their sessions are in use while these last."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from gateway import errors

if TYPE_CHECKING:
    from gateway.store import Store

NOTED_SECONDS: Final = 10.0

log = logging.getLogger(__name__)


class Uses:
    """Tells the store of sessions in use (`Session.used_at`), so that every gateway's reaper knows."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: Counter[str] = Counter()
        self._noted: dict[str, float] = {}

    @asynccontextmanager
    async def hold(self, session: str) -> AsyncIterator[None]:
        """The session is in use while the block lasts; the store is told at its beginning and at its end."""
        self._held[session] += 1
        try:
            await self._tell(session)
            yield
        finally:
            self._held[session] -= 1
            if self._held[session] == 0:
                del self._held[session]
            await self._tell(session)

    async def note(self, session: str) -> None:
        """The session is in use just now; the store is told once in NOTED_SECONDS."""
        now = time.monotonic()
        if self._noted.get(session, now) > now:
            return
        self._noted = {key: until for key, until in self._noted.items() if until > now}
        self._noted[session] = now + NOTED_SECONDS
        await self._tell(session)

    async def tell_forever(self, *, idle: float) -> None:
        """Tell it again ten times in an idle limit and at least once a minute, whatever the reaper waits for."""
        while True:
            await asyncio.sleep(min(60.0, idle / 10))
            await self.tell()

    async def tell(self) -> None:
        """Tell the store again of each session that is in use here."""
        await asyncio.gather(*(self._tell(session) for session in list(self._held)))

    async def _tell(self, session: str) -> None:
        try:
            await self._store.use_session(session)
        except errors.StoreUnavailable as error:
            log.warning("session %s: its use is not in the store: %s", session, error)
