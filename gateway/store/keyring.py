"""The table's data keys: made by the gateways, kept in the table encrypted (wrapping.py), never deleted.

`content-<day>` encrypts what sessions hold and was written on that day; `credentials-<n>` is what users' credentials
are encrypted with. A rotation of the stack's key encrypts the data keys anew and touches nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import StoreDamaged, StoreUnavailable
from gateway.store import keys
from gateway.store.client import Table
from gateway.store.codec import Item
from gateway.store.queries import by_prefix
from gateway.store.requests import ConditionFailed, put, update
from gateway.store.wrapping import UnknownKey, UnwrapError, Wrapping

log = logging.getLogger(__name__)

KEY_BYTES: Final = 32

RELOAD_SECONDS: Final = 600.0
"""How often the keys are read again: one that a gateway with the earlier key of the stack has made, while that was
rotated, is put under the current one."""

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
    encrypted with, and where one was damaged. `credential_key`: the first of the keys of credentials in a table that
    has none yet."""

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
        self._damaged: dict[str, str] = {}
        self._tended = 0.0

    async def open(self) -> None:
        """Read all, and make a key of credentials for a key of the stack that has none."""
        await self._tend()
        numbers = _numbers(self._made_under)
        if not numbers:
            await self._make(f"{CREDENTIALS}1", self._credential_key.encode())
        elif not self._newest() or not self._has_credentials():
            await self._make(f"{CREDENTIALS}{max(numbers) + 1}", secrets.token_hex(KEY_BYTES).encode())

    async def tended(self) -> None:
        """Put what a gateway with the earlier key of the stack has made since under the current one, now and then; what
        fails is done the next time."""
        if self._clock() - self._tended > RELOAD_SECONDS:
            self._tended = self._clock()
            with suppress(StoreUnavailable):
                await self._tend()

    async def today(self) -> DataKey:
        """The key for what is written now; the first who asks on a day makes it."""
        name = f"content-{time.strftime('%Y%m%d', time.gmtime(self._clock()))}"
        if name not in self._keys:
            await self._make(name, secrets.token_bytes(KEY_BYTES))
        await self.tended()
        return self.known(name)

    async def learn(self, names: set[str]) -> None:
        """Make sure that these are known: another gateway may have made one since. Raises `StoreDamaged`,
        and `StoreUnavailable`."""
        missing = names - self._keys.keys()
        if missing:
            await self._load()
        for name in sorted(missing & self._damaged.keys()):
            self.known(name)
        if missing - self._keys.keys():
            raise StoreDamaged(
                f"the table has no data key {', '.join(sorted(missing - self._keys.keys()))}, with which something in "
                "it was encrypted: restore the item from a backup of the table (docs/secrets.md)"
            )

    def known(self, name: str) -> DataKey:
        """One that was made sure of. Raises `StoreDamaged`."""
        if name not in self._keys:
            why = self._damaged.get(name, "it is not there")
            raise StoreDamaged(
                f"the data key {name} is damaged ({why}), and nothing that was encrypted with it can be read: restore "
                "its item from a backup of the table (docs/secrets.md)"
            )
        if name not in self._ciphers:
            self._ciphers[name] = AESGCM(self._keys[name])
        return DataKey(name, self._ciphers[name])

    async def credentials(self, *names: str) -> CredentialKeys:
        """The keys of credentials; these are among them, if they exist."""
        if not self._newest():
            await self.open()
        if any(name not in self._keys for name in names):
            await self._load()
        found = {name: key.decode() for name, key in self._keys.items() if name.startswith(CREDENTIALS)}
        return CredentialKeys(self._newest(), found)

    async def _tend(self) -> None:
        """Read all, and put those under the stack's current key that are not. A gateway that still has the earlier one,
        while it is rotated, leaves them as they are."""
        items = await self._load()
        self._tended = self._clock()
        newest = self._newest()
        if newest and self._made_under[newest] != self._wrapping.id and self._has_credentials():
            return
        for item in items:
            if _name(item) in self._keys and not self._wrapping.is_current(item["wrapped"]):
                await self._put_under_current(item)

    async def _load(self) -> list[Item]:
        items = [item async for page in self._table.pages(by_prefix(keys.KEYS, keys.KEY)) for item in page]
        await asyncio.gather(*map(self._take, items))
        return items

    def _has_credentials(self) -> bool:
        """Whether a key of credentials was ever made under the stack's current key: the first gateway with a new one
        makes one, so where there is a later one as well, the current key is the earlier one."""
        return any(
            under == self._wrapping.id
            for name, under in self._made_under.items()
            if name.startswith(CREDENTIALS)
        )

    def _newest(self) -> str:
        numbers = _numbers(self._keys)
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
        except ConditionFailed:
            # What it holds is read, and never supposed: what is encrypted with a key that nobody has is lost.
            there = await self._table.get((pk, sk))
            if there is None:
                raise StoreUnavailable(f"the data key {name} was there and is gone; try again") from None
            item = there
        await self._take(item)

    async def _take(self, item: Item) -> None:
        name, wrapped = _name(item), item.get("wrapped")
        self._made_under[name] = str(item.get("made_under", ""))
        if name in self._keys:
            return
        try:
            if not isinstance(wrapped, bytes):
                raise UnwrapError("it is not there")
            self._keys[name] = await self._wrapping.unwrap(wrapped, name)
            self._damaged.pop(name, None)
        except UnknownKey as error:
            raise StoreUnavailable(
                f"the data key {name} cannot be opened: {error}, and the current one is {self._wrapping.id}. Give the "
                "gateways the VF_CREDENTIAL_KEY of the stack that wrote this table, or accept it beside "
                "(docs/secrets.md)"
            ) from None
        except UnwrapError as error:
            self._damaged[name] = str(error)
            log.error("the data key %s is damaged: %s; restore its item from a backup", name, error)  # noqa: TRY400

    async def _put_under_current(self, item: Item) -> None:
        name = _name(item)
        changed = update(
            (item["pk"], item["sk"]),
            "SET #wrapped = :again",
            "#wrapped = :found",
            again=await self._wrapping.wrap(self._keys[name], name),
            found=item["wrapped"],
        )
        try:
            await self._table.write(changed)
        except ConditionFailed:
            log.info("another gateway put the data key %s under the current key", name)


def _name(item: Item) -> str:
    """By its key, which nobody can change."""
    return str(item["sk"]).removeprefix(keys.KEY)


def _numbers(names: Iterable[str]) -> list[int]:
    """Of the keys of credentials among them."""
    return [int(name.removeprefix(CREDENTIALS)) for name in names if name.startswith(CREDENTIALS)]
