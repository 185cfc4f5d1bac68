"""The members that a gateway may claim: what it last read of them, handed out one by one."""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gateway import errors
from gateway.concurrency.single_flight import SingleFlight
from gateway.store.pool import PlaceChanged

if TYPE_CHECKING:
    from gateway.sandboxes.drivers import Poolable
    from gateway.store.pool import Member, Place, PoolRows

log = logging.getLogger(__name__)


class Members:
    """A crowd of sessions shares one read, and each tries another member: which gateway has one, the store says.

    `ready`: how many there were when they were last read, less those that were claimed here since. `claimed`,
    `missed`: claims that this gateway has made, and sessions that found none.
    """

    def __init__(self, driver: Poolable, rows: Callable[[], PoolRows]) -> None:
        self._driver = driver
        self._rows = rows
        self._free: deque[Member] = deque()
        self._tried: set[str] = set()
        self._reads: SingleFlight[str, None] = SingleFlight(self._read)
        self.claimed = 0
        self.missed = 0

    @property
    def ready(self) -> int:
        """See the class."""
        return len(self._free)

    def know(self, members: Sequence[Member], fingerprint: str) -> None:
        """What there is now. Those of another fingerprint are about to be replaced, and given to nobody."""
        self._tried &= {member.id for member in members}
        free = [
            member
            for member in members
            if member.ready and member.fingerprint == fingerprint and member.id not in self._tried
        ]
        random.shuffle(free)
        self._free = deque(free)

    async def claim(self, session: str, *, before: Place | None) -> tuple[Member, Place] | None:
        """Claim one for the session, whose place was `before`; None when there is none. Raises `PlaceChanged`,
        `StoreUnavailable`."""
        if not self._free:
            await self._reads.ask("")
        while self._free:
            member = self._free.popleft()
            self._tried.add(member.id)
            try:
                place = await self._rows().claim(member, session, before=before)
            except (PlaceChanged, errors.StoreUnavailable):
                self._tried.discard(member.id)  # it may be there still, for another session
                raise
            if place is not None:
                self.claimed += 1
                return member, place
        self.missed += 1
        return None

    async def _read(self, _: str) -> None:
        if self._free:  # somebody has read meanwhile
            return
        try:
            fingerprint = await self._driver.fingerprint()
        except errors.SandboxUnavailable as error:
            log.warning("the pool gives nothing: %s", error)
            return
        self.know(await self._rows().members(), fingerprint)
