"""The table's data keys: made by the gateways, kept in the table encrypted (wrapping.py), never deleted.

`content-<day>` encrypts what sessions hold and was written on that day; `credentials-<n>` is what users' credentials
are encrypted with. A rotation of the stack's key encrypts the data keys anew and touches nothing else.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import StoreUnavailable
from gateway.store import keys
from gateway.store.client import Table
from gateway.store.codec import Item
from gateway.store.queries import by_prefix
from gateway.store.requests import ConditionFailed, put, update
from gateway.store.wrapping import UnwrapError, Wrapping

log = logging.getLogger(__name__)

KEY_BYTES: Final = 32

RELOAD_SECONDS: Final = 600.0
"""How often the keys are read again by who writes: one that a gateway with the earlier key of the stack has made, while
that was rotated, is put under the current one."""

CREDENTIALS: Final = "credentials-"


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key and the name by which items tell it."""

    id: str
    aead: AESGCM


@dataclass(frozen=True, slots=True)
class CredentialKeys:
    """What users' credentials are encrypted with: the `current` one by its name, and all by theirs."""

    current: str
    known: dict[str, str]

    @classmethod
    def of(cls, key: str) -> CredentialKeys:
        """The first one alone."""
        return cls(f"{CREDENTIALS}1", {f"{CREDENTIALS}1": key})


class Keyring:
    """Every method may raise `errors.StoreUnavailable`, also where the gateway lacks the key that a data key was
    encrypted with. `credential_key`: the first of the keys of credentials in a table that has none yet."""

    def __init__(
        self,
        table: Table,
        wrapping: Wrapping,
        credential_key: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._wrapping = wrapping
        self._credential_key = credential_key
        self._clock = clock
        self._keys: dict[str, bytes] = {}
        self._ciphers: dict[str, AESGCM] = {}
        self._made_under: dict[str, str] = {}
        self._loaded = 0.0

    async def open(self) -> None:
        """Read all, and make a key of credentials for a key of the stack that has none."""
        await self.load()
        newest = self._newest()
        if not newest:
            await self._make(f"{CREDENTIALS}1", self._credential_key.encode())
        elif not self._has_credentials():
            number = int(newest.removeprefix(CREDENTIALS)) + 1
            await self._make(f"{CREDENTIALS}{number}", secrets.token_hex(KEY_BYTES).encode())

    async def load(self) -> None:
        """Read all of them, and put those under the stack's current key that are not. A gateway that still has the
        earlier one, while it is rotated, leaves them as they are."""
        items = [item async for page in self._table.pages(by_prefix(keys.KEYS, keys.KEY)) for item in page]
        self._made_under |= {str(item["id"]): str(item["made_under"]) for item in items}
        for item in items:
            await self._take(item)
        newest = self._newest()
        is_newest = not newest or self._made_under[newest] == self._wrapping.id or not self._has_credentials()
        for item in items if is_newest else ():
            if not self._wrapping.is_current(item["wrapped"]):
                await self._put_under_current(item)
        self._loaded = self._clock()

    def _has_credentials(self) -> bool:
        """Whether a key of credentials was ever made under the stack's current key: the first gateway with a new one
        makes one, so where there is a later one as well, the current key is the earlier one."""
        return any(
            under == self._wrapping.id
            for name, under in self._made_under.items()
            if name.startswith(CREDENTIALS)
        )

    async def today(self) -> DataKey:
        """The key for what is written now; the first who asks on a day makes it."""
        name = f"content-{time.strftime('%Y%m%d', time.gmtime(self._clock()))}"
        if name not in self._keys:
            await self._make(name, secrets.token_bytes(KEY_BYTES))
        elif self._clock() - self._loaded > RELOAD_SECONDS:
            self._loaded = self._clock()
            with suppress(StoreUnavailable):  # there is a key to write with
                await self.load()
        return self.known(name)

    async def learn(self, names: set[str]) -> None:
        """Make sure that these are known: another gateway may have made one since. Raises `StoreUnavailable`."""
        missing = names - self._keys.keys()
        if missing:
            await self.load()
        if missing - self._keys.keys():
            raise StoreUnavailable(f"the table has no data key {', '.join(sorted(missing))}: it is not whole")

    def known(self, name: str) -> DataKey:
        """One that was made sure of."""
        if name not in self._ciphers:
            self._ciphers[name] = AESGCM(self._keys[name])
        return DataKey(name, self._ciphers[name])

    async def credentials(self, *names: str) -> CredentialKeys:
        """The keys of credentials; these are among them, if they exist."""
        if not self._newest():
            await self.open()
        if any(name not in self._keys for name in names):
            await self.load()
        found = {name: key.decode() for name, key in self._keys.items() if name.startswith(CREDENTIALS)}
        return CredentialKeys(self._newest(), found)

    def _newest(self) -> str:
        numbers = [int(name.removeprefix(CREDENTIALS)) for name in self._keys if name.startswith(CREDENTIALS)]
        return f"{CREDENTIALS}{max(numbers)}" if numbers else ""

    async def _make(self, name: str, key: bytes) -> None:
        """Make it, or take the one that another gateway was first to make."""
        pk, sk = keys.data_key(name)
        item: Item = {
            "pk": pk,
            "sk": sk,
            "id": name,
            "made_under": self._wrapping.id,
            "wrapped": await self._wrapping.wrap(key, name),
        }
        try:
            await self._table.write(put(item, "attribute_not_exists(#pk)"))
        except ConditionFailed as failed:
            item = failed.found[0] or item
        await self._take(item)

    async def _take(self, item: Item) -> None:
        name = str(item["id"])
        self._made_under[name] = str(item["made_under"])
        if name in self._keys:
            return
        try:
            self._keys[name] = await self._wrapping.unwrap(item["wrapped"], name)
        except UnwrapError as error:
            raise StoreUnavailable(
                f"the data key {name} cannot be opened: {error}; VF_CREDENTIAL_KEY is {self._wrapping.id}. Give the "
                "gateways the key of the stack that wrote this table (docs/secrets.md)"
            ) from None

    async def _put_under_current(self, item: Item) -> None:
        again = await self._wrapping.wrap(self._keys[item["id"]], item["id"])
        changed = update(
            (item["pk"], item["sk"]),
            "SET #wrapped = :again",
            "#wrapped = :found",
            again=again,
            found=item["wrapped"],
        )
        try:
            await self._table.write(changed)
        except ConditionFailed:
            log.info("another gateway put the data key %s under the current key", item["id"])
