"""Bodies of messages and frames, and titles, as the table holds them: encrypted with the day's data key (AES-256-GCM),
each bound to its item's key, so that it opens in no other item's place."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from cryptography.exceptions import InvalidTag

from gateway.errors import StoreDamaged
from gateway.store.codec import Item
from gateway.store.keyring import DataKey, Keyring
from gateway.store.keys import Key
from gateway.store.wrapping import NONCE_BYTES

KEY_NAME: Final = "key"
"""The attribute that says which data key a body was encrypted with; a body beside which there is none is plain."""

OVERHEAD: Final = NONCE_BYTES + 16 + len(KEY_NAME) + len("content-20260101")
"""Bytes that an item has more than its plain body: nonce, tag, and the key's name."""


class Sealer:
    """`since`: tells from when on bodies are encrypted, in epoch seconds; None where they are not. Whatever it tells,
    what is encrypted is read."""

    def __init__(
        self,
        ring: Keyring,
        clock: Callable[[], float],
        since: Callable[[], Awaitable[float | None]],
    ) -> None:
        self._ring = ring
        self._clock = clock
        self._since = since

    async def key(self) -> DataKey | None:
        """What a body is encrypted with now; None where it stays plain."""
        since = await self._since()
        return await self._ring.today() if since is not None and self._clock() >= since else None

    async def ready(self, items: Iterable[Item]) -> None:
        """Make sure of the keys of items that were read. Raises `StoreDamaged` for one that is not there."""
        names = {str(item[KEY_NAME]) for item in items if KEY_NAME in item}
        if names:
            await self._ring.learn(names)

    def opened(self, item: Item) -> Item:
        """An item whose key is made sure of, with its plain body. Raises `StoreDamaged`."""
        name = item.get(KEY_NAME)
        if name is None or "body" not in item:
            return item
        aead, body = self._ring.known(str(name)).aead, item["body"]
        try:
            if not isinstance(body, bytes):
                raise InvalidTag
            plain = aead.decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], _bound((item["pk"], item["sk"])))
        except (InvalidTag, ValueError):  # the latter where too little is left of it
            raise StoreDamaged(
                f"the item {item['sk']} does not open with its key: it was changed. Restore it from a backup of the "
                "table, or delete its session (docs/secrets.md)"
            ) from None
        return {**item, "body": plain}


def sealed(key: DataKey | None, at: Key, item: Item) -> Item:
    """An item with a plain `body` that is to lie at this key, encrypted; as it is without a data key."""
    if key is None:
        return item
    nonce = secrets.token_bytes(NONCE_BYTES)
    return {**item, "body": nonce + key.aead.encrypt(nonce, item["body"], _bound(at)), KEY_NAME: key.id}


def _bound(at: Key) -> bytes:
    return f"{at[0]}\0{at[1]}".encode()
