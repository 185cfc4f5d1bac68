"""Data keys encrypted by AWS KMS, with a key that never leaves it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gateway.config import Settings
from gateway.errors import StoreUnavailable
from gateway.store.blobs.aws import make_client
from gateway.store.client import RetryBudget
from gateway.store.wrapping import ID_BYTES, StackKey, UnwrapError, Wrapping, WrappingKey

log = logging.getLogger(__name__)

CONTEXT: Final = "vaporforge:data-key"
"""What KMS authenticates a data key's name as, logs it as, and the gateways' role is bound to."""

_CHANGED: Final = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})

_AGAIN: Final = frozenset(
    {
        "DependencyTimeoutException",
        "KMSInternalException",
        "KeyUnavailableException",
        "LimitExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
    }
)
"""What KMS documents as passing, with what its answer of status 500 is called besides."""

MOST_BYTES: Final = 6144
"""The longest that Decrypt takes (its `CiphertextBlob`, documented)."""

Offload = Callable[..., Awaitable[Any]]
"""Runs blocking work in threads."""


class KmsKey:
    """A symmetric key of KMS by its ARN. KMS changes what is behind it every year and opens what it encrypted before,
    so that it is one key for good. A `WrappingKey`; a call is tried again for `seconds`."""

    def __init__(
        self, arn: str, *, offload: Offload, region: str, endpoint: str = "", seconds: float
    ) -> None:
        self.arn = arn
        self.id = hashlib.sha256(b"vaporforge: key of KMS: " + arn.encode()).digest()[:ID_BYTES]
        self._offload = offload
        self._region, self._endpoint = region, endpoint
        self._seconds = seconds
        self._client: Any = None

    async def encrypt(self, key: bytes, name: str) -> bytes:
        """See `WrappingKey`."""
        answer = await self._call("encrypt", Plaintext=key, EncryptionContext={CONTEXT: name})
        return bytes(answer["CiphertextBlob"])

    async def decrypt(self, encrypted: bytes, name: str) -> bytes:
        """See `WrappingKey`."""
        if not 0 < len(encrypted) <= MOST_BYTES:
            raise UnwrapError("it was changed")
        answer = await self._call("decrypt", CiphertextBlob=encrypted, EncryptionContext={CONTEXT: name})
        return bytes(answer["Plaintext"])

    async def _call(self, operation: str, **request: Any) -> dict[str, Any]:
        budget = RetryBudget(self._seconds)
        while True:
            try:
                answer: dict[str, Any] = await self._offload(partial(self._ask, operation, request))
            except ClientError as error:
                name = str(error.response["Error"].get("Code", ""))
                if name in _CHANGED:
                    raise UnwrapError("it was changed, or encrypted for another name") from None
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                if name not in _AGAIN and status < 500:
                    log.warning("KMS %s with %s: %s", operation, self.arn, error)
                    raise StoreUnavailable(
                        f"KMS refuses to {operation} with the key {self.arn} ({name}): let the gateways' role use it, "
                        "and see that it is enabled and not about to be deleted"
                    ) from error
                why: object = name
            except BotoCoreError as error:
                why = type(error).__name__
            else:
                return answer
            try:
                await budget.wait(why)
            except StoreUnavailable:
                log.warning("KMS %s with %s gave up: %s", operation, self.arn, why)
                raise StoreUnavailable(f"KMS does not answer or is overloaded ({why}); try again") from None

    def _ask(self, operation: str, request: dict[str, Any]) -> Any:
        if self._client is None:
            config = Config(
                connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 1, "mode": "standard"}
            )
            self._client = make_client(
                "kms", config, endpoint=self._endpoint, region=self._region, key="local"
            )
        return getattr(self._client, operation)(KeyId=self.arn, **request)


def wrapping_of(settings: Settings, offload: Offload, *, seconds: float) -> Wrapping:
    """By a gateway's settings: with the key of KMS or the stack's own, and what any of them has encrypted is opened."""
    secrets = (settings.credential_key, settings.credential_key_accepted)
    known: list[WrappingKey] = [StackKey(secret) for secret in secrets if secret]
    if settings.kms_arn:
        kms = KmsKey(
            settings.kms_arn,
            offload=offload,
            region=settings.region,
            endpoint=settings.kms_endpoint,
            seconds=seconds,
        )
        known = [kms, *known] if settings.encrypt_with == "kms" else [*known, kms]
    return Wrapping(*known)
