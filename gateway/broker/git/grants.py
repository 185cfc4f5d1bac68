"""What a user lets sandboxes do at git hosts: which host, with which token, at which repositories. Encrypted in the
user's settings, as the model's credential is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.broker.credentials import GIT, decrypt, encrypt, keys_for
from gateway.broker.git.hosts import allows

if TYPE_CHECKING:
    from gateway.store import Store
    from gateway.store.keyring import CredentialKeys

CACHE_SECONDS: Final = 5.0
CACHE_ENTRIES: Final = 1024


@dataclass(frozen=True, slots=True)
class Grant:
    """At one host. `token`: empty where only what is public is meant. `user`: the name that goes with it; hosts that
    need none take any. `repositories`: those alone, or all below these; empty: all that the token opens."""

    token: str = ""
    user: str = ""
    repositories: tuple[str, ...] = ()

    def has(self, repository: str) -> bool:
        """Whether the user lets this one be reached."""
        return allows(self.repositories, repository)


def encrypt_grants(keys: CredentialKeys, owner: str, grants: Mapping[str, Grant]) -> str:
    """In the form in which settings hold them."""
    plain = orjson.dumps({name: asdict(grant) for name, grant in grants.items()})
    return encrypt(keys, owner, plain.decode(), purpose=GIT)


def grants_of(keys: CredentialKeys, owner: str, settings: Mapping[str, Any]) -> dict[str, Grant]:
    """Of a user's stored settings, by host; {} when there are none, or none that open."""
    stored = settings.get("git")
    opened = decrypt(keys, owner, stored, purpose=GIT) if isinstance(stored, str) else None
    if opened is None:
        return {}
    return {
        name: Grant(kept["token"], kept["user"], tuple(kept["repositories"]))
        for name, kept in orjson.loads(opened).items()
    }


class KnownGrants:
    """By session, remembered for a moment: one fetch is several requests."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[float, str, dict[str, Grant]]] = {}

    async def get(self, session: str) -> tuple[str, dict[str, Grant]]:
        """The session's owner and the grants, at most `CACHE_SECONDS` old. Raises `SessionNotFound` and
        `StoreUnavailable`."""
        now = time.monotonic()
        until, owner, grants = self._known.get(session, (0.0, "", {}))
        if until > now:
            return owner, grants
        owner = (await self._store.get_session(session)).owner
        kept = await self._store.get_settings(owner)
        grants = grants_of(await keys_for(self._store, kept), owner, kept)
        self._known.pop(session, None)
        while len(self._known) >= CACHE_ENTRIES:
            del self._known[next(iter(self._known))]
        self._known[session] = (now + CACHE_SECONDS, owner, grants)
        return owner, grants
