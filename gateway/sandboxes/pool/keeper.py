"""The keeper: one gateway at a time refills the pool, and replaces what is old, stale or dead; the others look on."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from container.protocol import POOL_PREFIX
from gateway import errors
from gateway.concurrency.backoff import Backoff
from gateway.ids import new_id
from gateway.sandboxes.drivers import SandboxState
from gateway.sandboxes.pool.plan import Wanted, plan, size_at
from gateway.store.pool import Member

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.sandboxes.drivers import Poolable
    from gateway.sandboxes.pool.members import Members
    from gateway.store import Store

log = logging.getLogger(__name__)

ROUND_SECONDS: Final = 2.0
"""Between two looks at the rows; where the pool is off for good, and only what is left of it goes, a minute."""

LEASE_SECONDS: Final = 10.0
"""How long a gateway that has died keeps others from refilling."""

LOOK_SECONDS: Final = 15.0
"""Between two looks at the driver's list, for members that have died, and at what a sandbox would be."""

LISTED_SECONDS: Final = 30.0
"""A driver may list a sandbox so much later than it runs."""

AT_ONCE: Final = 2
AT_ONCE_ELSEWHERE: Final = 32
"""Members that are started side by side: on this machine, whose processor the sessions need, and on others."""


class Keeper:
    """Looks after `members`; `round` is one look. A start that is cut short goes on with whoever keeps next."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        driver: Poolable,
        members: Members,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._schedule = settings.pool
        self._store = store
        self._driver = driver
        self._members = members
        self._clock = clock
        self._me = new_id()
        self._starts: dict[str, asyncio.Task[None]] = {}
        self._backoff = Backoff(first=1.0, most=60.0)
        self._not_before = 0.0
        self._looked_at = self._asked_at = -LOOK_SECONDS
        self._fingerprint = ""

    async def keep_forever(self) -> None:
        """Look again and again until cancelled; what fails is left to the next round. Returns where there is no pool
        and never was."""
        failures = Backoff(first=2 * ROUND_SECONDS, most=30 * ROUND_SECONDS)
        try:
            while self._store.pool.since is not None:
                pause = ROUND_SECONDS if self._schedule.largest else 30 * ROUND_SECONDS
                try:
                    await self.round()
                    failures.reset()
                except errors.VaporForgeError as error:
                    log.warning("the pool waits: %s", error)
                    pause = failures.next()
                except Exception:
                    log.exception("the pool's keeper failed; it goes on")
                    pause = failures.next()
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))
        finally:
            await self.close()

    def figures(self) -> dict[str, int]:
        """`size` that is wanted now, `ready` as this gateway last saw it, and what became of its sessions since it
        started: `claimed` one, or `missed`; empty without a pool."""
        if not self._schedule.largest:
            return {}
        members = self._members
        return {
            "size": self._size(),
            "ready": members.ready,
            "claimed": members.claimed,
            "missed": members.missed,
        }

    async def round(self) -> None:
        """One look at the pool; whoever keeps it begins what is to be done."""
        now = time.monotonic()
        if now - self._asked_at >= LOOK_SECONDS:
            self._fingerprint = await self._driver.fingerprint()
            self._asked_at = now
        rows = self._store.pool
        found = await rows.members()
        self._members.know(found, self._fingerprint)
        size = self._size()
        if not found and not size:
            return
        if not await rows.lead(self._me, seconds=LEASE_SECONDS, now=self._clock()):
            return
        wanted = Wanted(
            size=size,
            fingerprint=self._fingerprint,
            most_seconds=self._settings.pool_max_minutes * 60,
            start_seconds=self._settings.start_seconds,
        )
        todo = plan(found, wanted, gone=await self._gone(found), now=self._clock())
        await asyncio.gather(*(self._drop(member) for member in todo.drop))
        begun = [member for member in todo.finish if member.id not in self._starts]
        if now < self._not_before:
            return
        most = AT_ONCE if self._settings.keeps_files else AT_ONCE_ELSEWHERE
        for member in begun[: max(0, most - len(self._starts))]:
            self._begin(member)
        for _ in range(min(todo.start, most - len(self._starts))):
            member = Member(id=f"{POOL_PREFIX}{new_id()}", fingerprint=self._fingerprint, since=self._clock())
            await rows.add(member)
            self._begin(member)

    def _size(self) -> int:
        return size_at(self._schedule, self._clock(), ahead=self._settings.start_seconds)

    async def close(self) -> None:
        """Leave the pool to another gateway. May be called twice."""
        tasks = list(self._starts.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(errors.StoreUnavailable):
            await self._store.pool.leave(self._me)

    async def _gone(self, members: Sequence[Member]) -> frozenset[str]:
        """Ready members whose sandbox does not run any more."""
        now = time.monotonic()
        ready = [
            member
            for member in members
            if member.ready and self._clock() - member.since > LISTED_SECONDS + self._settings.start_seconds
        ]
        if not ready or now - self._looked_at < LOOK_SECONDS:
            return frozenset()
        self._looked_at = now
        running = {
            sandbox.session: sandbox.host
            for sandbox in await self._driver.list()
            if sandbox.state is SandboxState.RUNNING
        }
        return frozenset(member.id for member in ready if running.get(member.id) != member.host)

    async def _drop(self, member: Member) -> None:
        """Take a member out of the pool, then delete it. What is cut short in between is found by who lists."""
        start = self._starts.get(member.id)
        if start is not None:
            start.cancel()
        await self._remove(member)

    async def _remove(self, member: Member) -> None:
        if await self._store.pool.drop(member.id):
            log.info("pool: %s goes", member.id)
            await self._driver.delete(member.id)

    def _begin(self, member: Member) -> None:
        task = asyncio.create_task(self._start(member), name=f"start {member.id}")
        self._starts[member.id] = task
        task.add_done_callback(lambda _: self._starts.pop(member.id, None))

    async def _start(self, member: Member) -> None:
        try:
            sandbox = await self._driver.ensure(member.id)
            ready = replace(
                member, ready=True, host=sandbox.host, port=sandbox.port, started_at=sandbox.started_at
            )
            if not await self._store.pool.make_ready(ready):
                # Two keepers may have finished one start; then a session may have claimed it in between.
                if not await self._store.pool.sessions_of([member.id]):
                    await self._driver.delete(member.id)
                return
            self._backoff.reset()
            log.info("pool: %s is ready", member.id)
        except errors.VaporForgeError as error:
            self._not_before = time.monotonic() + self._backoff.next()
            log.warning("pool: %s does not start: %s", member.id, error)
            if isinstance(error, errors.SandboxUnavailable):
                with suppress(errors.VaporForgeError):
                    await self._remove(member)
