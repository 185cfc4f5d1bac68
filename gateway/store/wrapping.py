"""What data keys are encrypted with before they go into the table: a key that is derived from the stack's secret."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES: Final = 12
"""NIST SP 800-38D section 8.2: 96 random bits."""

ID_BYTES: Final = 8


class UnwrapError(Exception):
    """A data key was encrypted with a key that is not here, or for another name."""


class Wrapping(Protocol):
    """Encrypts a data key for a name; what is encrypted says which key it was encrypted with."""

    @property
    def id(self) -> str:
        """Of the key that `wrap` uses, and that tells nothing of it."""

    async def wrap(self, key: bytes, name: str) -> bytes: ...

    async def unwrap(self, wrapped: bytes, name: str) -> bytes:
        """What `wrap` was given with this name. Raises `UnwrapError`, and `errors.StoreUnavailable` where who has the
        key does not answer."""

    def is_current(self, wrapped: bytes) -> bool:
        """Whether `wrap` would use the key that this was encrypted with."""


class StackKey:
    """AES-256-GCM with a key that is derived (HKDF) from the stack's secret; the data key's name is authenticated.

    `accepted`: another secret, whose keys are opened as well while the secret is rotated; empty for none."""

    def __init__(self, secret: str, accepted: str = "") -> None:
        self._keys = {_id(text): _derived(text) for text in (accepted, secret) if text}
        self._current = _id(secret)

    @property
    def id(self) -> str:
        """See `Wrapping`."""
        return self._current.hex()

    async def wrap(self, key: bytes, name: str) -> bytes:
        """See `Wrapping`: the key's id, the nonce, and what is encrypted with its tag."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return self._current + nonce + self._keys[self._current].encrypt(nonce, key, name.encode())

    async def unwrap(self, wrapped: bytes, name: str) -> bytes:
        """See `Wrapping`."""
        ours = self._keys.get(wrapped[:ID_BYTES])
        if ours is None:
            raise UnwrapError(f"it was encrypted with the key {wrapped[:ID_BYTES].hex()}")
        nonce, rest = wrapped[ID_BYTES : ID_BYTES + NONCE_BYTES], wrapped[ID_BYTES + NONCE_BYTES :]
        try:
            return ours.decrypt(nonce, rest, name.encode())
        except InvalidTag:
            raise UnwrapError("it was changed") from None

    def is_current(self, wrapped: bytes) -> bool:
        """See `Wrapping`."""
        return wrapped[:ID_BYTES] == self._current


def _id(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"vaporforge: id of the key of data keys", hashlib.sha256)[:ID_BYTES]


def _derived(secret: str) -> AESGCM:
    kdf = HKDF(SHA256(), length=32, salt=None, info=b"vaporforge: key of data keys")
    return AESGCM(kdf.derive(secret.encode()))
