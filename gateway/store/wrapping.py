"""What data keys are encrypted with before they go into the table: one key of several that are known."""

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
    """A data key does not open with the key that it was encrypted with: it was changed, or is another name's."""


class UnknownKey(UnwrapError):
    """A data key was encrypted with a key that is not here."""


class WrappingKey(Protocol):
    """A key that data keys are encrypted with; each for its name, which `decrypt` must be told too."""

    @property
    def id(self) -> bytes:
        """`ID_BYTES` that tell it from others, and tell nothing of it."""

    async def encrypt(self, key: bytes, name: str) -> bytes:
        """Raises `errors.StoreUnavailable` where who has the key does not answer, or refuses."""

    async def decrypt(self, encrypted: bytes, name: str) -> bytes:
        """What `encrypt` was given with this name. Raises `UnwrapError`, and `errors.StoreUnavailable` as `encrypt`."""


class Wrapping:
    """Encrypts with `current`, and opens what any of `accepted` has encrypted as well. What is encrypted begins with
    the id of its key."""

    def __init__(self, current: WrappingKey, *accepted: WrappingKey) -> None:
        self._keys = {key.id: key for key in (*accepted, current)}
        self._current = current

    @property
    def id(self) -> str:
        """Of the key that `wrap` uses, in hexadecimal."""
        return self._current.id.hex()

    async def wrap(self, key: bytes, name: str) -> bytes:
        """Raises `errors.StoreUnavailable`."""
        return self._current.id + await self._current.encrypt(key, name)

    async def unwrap(self, wrapped: bytes, name: str) -> bytes:
        """What `wrap` was given with this name. Raises `UnwrapError` and `errors.StoreUnavailable`."""
        ours = self._keys.get(wrapped[:ID_BYTES])
        if ours is None:
            raise UnknownKey(f"it was encrypted with the key {wrapped[:ID_BYTES].hex()}")
        return await ours.decrypt(wrapped[ID_BYTES:], name)

    def is_current(self, wrapped: bytes) -> bool:
        """Whether `wrap` would use the key that this was encrypted with."""
        return wrapped[:ID_BYTES] == self._current.id


class StackKey:
    """AES-256-GCM with a key that is derived (HKDF) from a secret of the stack; the data key's name is authenticated.
    A `WrappingKey`."""

    def __init__(self, secret: str) -> None:
        self.id = hmac.digest(secret.encode(), b"vaporforge: id of the key of data keys", hashlib.sha256)[
            :ID_BYTES
        ]
        kdf = HKDF(SHA256(), length=32, salt=None, info=b"vaporforge: key of data keys")
        self._key = AESGCM(kdf.derive(secret.encode()))

    async def encrypt(self, key: bytes, name: str) -> bytes:
        """See `WrappingKey`: the nonce, and what is encrypted with its tag."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._key.encrypt(nonce, key, name.encode())

    async def decrypt(self, encrypted: bytes, name: str) -> bytes:
        """See `WrappingKey`."""
        try:
            return self._key.decrypt(encrypted[:NONCE_BYTES], encrypted[NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError):  # the latter where too little is left of it
            raise UnwrapError("it was changed") from None
