"""Gateways with a pool: any driver's bench under a `PooledDriver`, on a table of its own."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self

from gateway.ids import new_id
from gateway.sandboxes.pool.driver import PooledDriver
from gateway.sandboxes.pool.keeper import Keeper
from gateway.store.dynamo import DynamoStore
from tests.gateway.store.store_table import RETRY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from gateway.config import Settings
    from gateway.sandboxes.drivers import Poolable
    from gateway.store.pool import Member

SECONDS = 120.0
"""For what must come, on a busy machine too."""


class InnerBench(Protocol):
    """A `Bench` of a driver that can be pooled."""

    settings: Settings

    def driver(self) -> Poolable: ...

    def driver_of_failing(self) -> Poolable: ...

    async def kill(self, session: str) -> None: ...

    async def alive(self, session: str) -> int: ...

    async def leftovers(self, session: str) -> Sequence[str]: ...


class PoolBench:
    """A `Bench` whose drivers claim. Its keepers look only when they are told to."""

    def __init__(self, inner: InnerBench, endpoint: str, *, size: int = 2) -> None:
        self.inner = inner
        self.settings = replace(
            inner.settings,
            table=f"test-{new_id()}",
            table_create=True,
            dynamodb_endpoint=endpoint,
            pool_size=size,
        )
        self.store = DynamoStore(replace(self.settings, region="us-east-1"), retry_seconds=RETRY_SECONDS)
        self.keepers: list[Keeper] = []
        self._exit = AsyncExitStack()
        self._members: set[str] = set()

    async def __aenter__(self) -> Self:
        await self.store.open()
        self._exit.push_async_callback(self.store.close)
        self._exit.push_async_callback(self._clean_up)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    def driver(self) -> PooledDriver:
        return self.around(self.inner.driver())

    def driver_of_failing(self) -> PooledDriver:
        return self.around(self.inner.driver_of_failing())

    def around(self, inner: Poolable, **changes: object) -> PooledDriver:
        """A further gateway's driver."""
        driver = PooledDriver(replace(self.settings, **changes), self.store, inner)  # type: ignore[arg-type]
        self._exit.push_async_callback(driver.close)
        return driver

    def keeper(self, driver: PooledDriver | None = None, **changes: object) -> Keeper:
        """A gateway's keeper."""
        driver = driver or self.driver()
        settings = replace(self.settings, **changes)  # type: ignore[arg-type]
        self.keepers.append(Keeper(settings, self.store, driver._driver, driver.members))
        return self.keepers[-1]

    async def fill(self, keeper: Keeper | None = None) -> Sequence[Member]:
        """The members, once there are as many ready as there should be, and no others."""
        keeper = keeper or (self.keepers[0] if self.keepers else self.keeper())
        async with asyncio.timeout(SECONDS):
            while True:
                await keeper.round()
                found = await self.members()
                if len(found) == keeper._settings.pool_size and all(member.ready for member in found):
                    return found
                await asyncio.sleep(0.05)

    async def members(self) -> Sequence[Member]:
        """Those that are nobody's."""
        found = await self.store.pool.members()
        self._members |= {member.id for member in found}
        return found

    async def name(self, session: str) -> str:
        """The id under which the session's sandbox was started."""
        place = await self.store.pool.place(session)
        if place is not None and place.member:
            self._members.add(place.member)
            return place.member
        return session

    async def kill(self, session: str) -> None:
        await self.inner.kill(await self.name(session))

    async def alive(self, session: str) -> int:
        return await self.inner.alive(await self.name(session))

    async def leftovers(self, session: str) -> Sequence[str]:
        found = list(await self.inner.leftovers(session))
        name = await self.name(session)
        return found if name == session else [*found, *await self.inner.leftovers(name)]

    async def _clean_up(self) -> None:
        for keeper in self.keepers:
            await keeper.close()
        await self.members()
        driver = self.inner.driver()
        for member in self._members:
            await driver.delete(member)
            assert await self.inner.leftovers(member) == []
