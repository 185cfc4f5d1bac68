"""A user's secrets, encrypted at rest: the model credential (or else the deployment's), the MCP servers, git tokens."""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING, Any, Final

import orjson
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway import errors

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.store import Store
    from gateway.store.keyring import CredentialKeys

log = logging.getLogger(__name__)

CREDENTIAL: Final = "credential"
SERVERS: Final = "MCP servers"
GIT: Final = "git hosts"
"""Purposes: what is encrypted for one does not open for another."""


FIRST: Final = "credentials-1"
"""The key of what has no key's name before it: until the first rotation nothing has one, and a gateway of the version
before reads it."""


def encrypt(keys: CredentialKeys, owner: str, secret: str, *, purpose: str = CREDENTIAL) -> str:
    """The secret as Fernet text (AES-128-CBC with HMAC-SHA256) that only `decrypt` for this owner and purpose opens,
    the name of its key and a colon before it."""
    text = _fernet(keys.known[keys.current], owner, purpose).encrypt(secret.encode()).decode()
    return text if keys.current == FIRST else f"{keys.current}:{text}"


def decrypt(keys: CredentialKeys, owner: str, stored: str, *, purpose: str = CREDENTIAL) -> str | None:
    """What `encrypt` was given; None, and a line in the log, when key, owner or purpose are not the ones of then."""
    key = keys.known.get(key_of(stored))
    try:
        if key is None:
            raise InvalidToken
        return _fernet(key, owner, purpose).decrypt(stored.rpartition(":")[2].encode()).decode()
    except InvalidToken:
        log.warning(
            "user %s: the stored %s cannot be opened with the keys of VF_CREDENTIAL_KEY; taken as unset",
            owner,
            purpose,
        )
        return None


def key_of(stored: str) -> str:
    """The name of the key that something is encrypted with."""
    return stored.rpartition(":")[0] or FIRST


async def keys_for(store: Store, settings: dict[str, Any]) -> CredentialKeys:
    """The keys, with those of a user's stored settings among them. It asks the store for one that is new alone. Raises
    `StoreUnavailable`."""
    return await store.credential_keys(
        *(key_of(value) for value in settings.values() if isinstance(value, str))
    )


def encrypt_servers(keys: CredentialKeys, owner: str, servers: dict[str, Any]) -> str:
    """MCP servers `{name: config}` in the form in which settings hold them: their env and headers have tokens."""
    return encrypt(keys, owner, orjson.dumps(servers).decode(), purpose=SERVERS)


def servers_of(
    keys: CredentialKeys, owner: str, settings: dict[str, Any], *, plain: bool = True
) -> dict[str, Any]:
    """The MCP servers in a user's stored settings; {} when there are none, or none that open.

    An object in place of text was put before servers were encrypted, and counts as it is, unless `plain` is false:
    anybody who writes to the table could have put it."""
    stored = settings.get("mcpServers")
    if isinstance(stored, str):
        opened = decrypt(keys, owner, stored, purpose=SERVERS)
        stored = orjson.loads(opened) if opened else {}
    elif not plain:
        stored = {}
    servers: dict[str, Any] = stored or {}
    return servers


def renewed(keys: CredentialKeys, owner: str, settings: dict[str, Any]) -> dict[str, Any]:
    """A user's stored settings with all that an earlier key opens encrypted with the current one."""
    changed = dict(settings)
    for name, purpose in (("credential", CREDENTIAL), ("mcpServers", SERVERS), ("git", GIT)):
        stored = settings.get(name)
        if isinstance(stored, str) and key_of(stored) != keys.current:
            opened = decrypt(keys, owner, stored, purpose=purpose)
            if opened is not None:
                changed[name] = encrypt(keys, owner, opened, purpose=purpose)
    return changed


async def credential_of(store: Store, settings: Settings, owner: str) -> str | None:
    """The owner's credential for the model's API, else the deployment's, else None. What is encrypted with an earlier
    key is put under the current one. Raises `StoreUnavailable`."""
    kept = await store.get_settings(owner)
    stored = kept.get("credential")
    if not stored:
        return settings.model_api_key or None
    keys = await keys_for(store, kept)
    own = decrypt(keys, owner, stored)
    if (anew := renewed(keys, owner, kept)) != kept:
        await store.replace_settings(owner, kept, anew)
    return own or settings.model_api_key or None


async def require_credential(store: Store, settings: Settings, owner: str) -> None:
    """Raises `CredentialMissing` when the agent needs a credential and there is none."""
    if settings.needs_credential and await credential_of(store, settings, owner) is None:
        raise errors.CredentialMissing(
            "The agent needs a credential for the model's API, and none is set: put an Anthropic API key or a "
            "Claude OAuth token into Settings, or ask who runs this deployment to set one for everybody.",
            field="credential",
        )


def _fernet(key: str, owner: str, purpose: str) -> Fernet:
    """A key for each owner and purpose, so that what is stored is worth nothing in another place."""
    derived = HKDF(SHA256(), length=32, salt=None, info=f"vaporforge {purpose}:{owner}".encode())
    return Fernet(base64.urlsafe_b64encode(derived.derive(key.encode())))
