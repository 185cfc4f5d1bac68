"""How many sandboxes run at once, for a user and in all: known from the driver's list, not from a counter."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.concurrency.single_flight import SingleFlight
from gateway.errors import QuotaReached, Unavailable
from gateway.sandboxes.drivers import SandboxState
from gateway.store.quotas import MINUTE, Claim, Crowd

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.model import Session
    from gateway.sandboxes.drivers import Driver
    from gateway.store import Store

log = logging.getLogger(__name__)

CHECK_SECONDS: Final = 2.0
"""How long finding a place may take; then the sandbox is started uncounted. A prompt waits for it."""

SEEN_SECONDS: Final = 10.0
"""A sandbox that was let in so lately needs no further look: a conversation's prompts cost nothing, and a driver that
hangs is waited for once."""

SEEN: Final = 4096
"""Sandboxes that are remembered."""

MARGIN_SECONDS: Final = 15.0
"""A place is held for longer than a sandbox's start may take, by so much."""

LIVE: Final = frozenset({SandboxState.STARTING, SandboxState.RUNNING})


class SandboxPlaces:
    """Finds a place for a session's sandbox before anybody wakes it. A run that was admitted is never refused: what
    restarts its sandbox does not ask here."""

    def __init__(
        self, settings: Settings, store: Store, driver: Driver, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._store = store
        self._driver = driver
        self._clock = clock
        self._seen: dict[str, float] = {}
        """Session → until when its sandbox needs no look, by the monotonic clock."""
        self._claims: SingleFlight[tuple[str, str], None] = SingleFlight(self._claim)

    async def claim(self, session: Session) -> None:
        """Success when the session's sandbox runs already, or there is room for it; a place is held for it then.
        Raises `QuotaReached`. Refuses nobody while the store or the driver is away or at fault."""
        if self._limited and not self._is_seen(session.id):
            await self._claims.ask((session.id, session.owner))

    async def release(self, session: str) -> None:
        """The session's sandbox is gone for good: what is still held for it is free. A store that is away is left
        alone: the place runs out by itself."""
        self._seen.pop(session, None)
        if not self._limited:
            return
        try:
            await self._store.release_place(session)
        except Unavailable as error:
            log.info("session %s: its place runs out by itself: %s", session, error)

    @property
    def _limited(self) -> bool:
        return bool(self._settings.sandboxes_per_user or self._settings.sandboxes)

    def _is_seen(self, session: str) -> bool:
        return self._seen.get(session, 0.0) > time.monotonic()

    async def _claim(self, key: tuple[str, str]) -> None:
        session, owner = key
        if self._is_seen(session):
            return
        crowd: Crowd | None = None
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                crowd = await self._find(session, owner)
        except (Unavailable, TimeoutError) as error:
            why = error if isinstance(error, Unavailable) else "no answer in time"
            log.warning("session %s: its sandbox is not counted: %s", session, why)
        except Exception:
            log.exception("session %s: its sandbox is not counted", session)
        if crowd is not None:
            raise self._refusal(crowd)
        self._seen.pop(session, None)
        while len(self._seen) >= SEEN:
            del self._seen[next(iter(self._seen))]
        self._seen[session] = time.monotonic() + SEEN_SECONDS

    async def _find(self, session: str, owner: str) -> Crowd | None:
        if (await self._driver.status(session)).state in LIVE:
            return None
        # The list comes first: a sandbox that is missing from it is among the places, which are read after it.
        running = [sandbox.session for sandbox in await self._driver.list() if sandbox.state in LIVE]
        owners = await self._store.owners(running)
        now = self._clock()
        claim = Claim(
            session=session,
            owner=owner,
            until=now + self._settings.start_seconds + MARGIN_SECONDS,
            running={name: owners.get(name, "") for name in running},
            most_of_user=self._settings.sandboxes_per_user,
            most=self._settings.sandboxes,
        )
        return await self._store.claim_place(claim, now=now)

    def _refusal(self, crowd: Crowd) -> QuotaReached:
        free = f"one stops when its session has been idle for {self._settings.idle_minutes:g} minutes"
        if crowd is Crowd.USER:
            most = self._settings.sandboxes_per_user
            return QuotaReached(
                f"You have {most} sandboxes running, and {most} may at once: {free}, or is deleted. "
                "Send it again then.",
                retry_after=MINUTE,
            )
        most = self._settings.sandboxes
        return QuotaReached(
            f"All {most} sandboxes of this deployment are in use: {free}. Send it again then.",
            retry_after=MINUTE,
        )
