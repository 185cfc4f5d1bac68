"""The credentials that calls go out with, remembered for a moment: an agent makes many calls."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gateway import errors
from gateway.broker.credentials import credential_of

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.store import Store

CACHE_SECONDS: Final = 5.0
CACHE_ENTRIES: Final = 1024


class KnownCredentials:
    """By session."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._known: dict[str, tuple[float, str, str]] = {}

    async def get(self, session: str) -> tuple[str, str]:
        """The credential of the session's owner, at most `CACHE_SECONDS` old, and the owner. Raises `SessionNotFound`,
        `CredentialMissing` and `StoreUnavailable`."""
        now = time.monotonic()
        until, credential, owner = self._known.get(session, (0.0, "", ""))
        if until > now:
            return credential, owner
        owner = (await self._store.get_session(session)).owner
        found = await credential_of(self._store, self._settings, owner)
        if found is None:
            raise errors.CredentialMissing(
                "No credential for the model's API is set: put one into VaporForge's Settings, then ask again."
            )
        self._known.pop(session, None)
        while len(self._known) >= CACHE_ENTRIES:
            del self._known[next(iter(self._known))]
        self._known[session] = (now + CACHE_SECONDS, found, owner)
        return found, owner
