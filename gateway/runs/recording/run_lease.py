"""A run under this gateway's lease: every write of its recorder, fenced, repeated for as long as the store is away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from container.protocol import seq_of
from gateway import errors
from gateway.concurrency.backoff import Backoff
from gateway.config import Settings
from gateway.model import Message, Run, RunState
from gateway.store import Store

log = logging.getLogger(__name__)

T = TypeVar("T")


STORE_SECONDS = 0.25
"""A call that takes longer holds up what depends on it."""


class LeaseLost(Exception):
    """Another gateway holds the run's lease now, or the run is gone: stop at once and write nothing."""


class RunLease:
    """`run`: the run as the store last told it. `promoted`: the run that became active when this one ended. `name`: the
    run in logs.

    Every method raises `LeaseLost`; none gives up while the store is away, for every call here may be repeated
    without being done twice.
    """

    def __init__(self, run: Run, *, settings: Settings, store: Store, gateway: str) -> None:
        self.run = run
        self.name = f"session {run.session} run {run.id}"
        self.promoted: Run | None = None
        self._asked_at: dict[object, float] = {}
        """Calls that are on → when they began, by the loop's clock."""
        self._settings = settings
        self._store = store
        self._gateway = gateway

    async def renew_forever(
        self, on_stop: Callable[[], Coroutine[Any, Any, None]], is_sound: Callable[[], bool]
    ) -> None:
        """Renew three times in a lease's time; `on_stop` is called, beside the renewals, whenever the run was asked to
        stop and no earlier call is still on. Once `is_sound` the run's takeovers are forgotten."""
        stopping: asyncio.Task[None] | None = None
        try:
            while True:
                await asyncio.sleep(self._settings.lease_seconds / 3)
                await self._renew()
                if self.run.takeovers and is_sound():
                    await self.set_takeovers(0)
                if self.run.stop_requested and (stopping is None or stopping.done()):
                    stopping = asyncio.create_task(on_stop(), name=f"stop {self.run.id}")
        finally:
            if stopping is not None:
                stopping.cancel()
                await asyncio.gather(stopping, return_exceptions=True)

    async def _renew(self) -> None:
        """Renew once, or leave it to the next time while the store is away."""
        try:
            run = await self._store.renew_lease(
                self.run, lease_seconds=self._settings.lease_seconds, now=time.time()
            )
        except errors.StoreUnavailable as error:
            log.warning("session %s run %s: lease not renewed: %s", self.run.session, self.run.id, error)
            return
        except (errors.SessionNotFound, errors.RunNotFound):
            run = None
        if run is None:
            raise LeaseLost
        if run.stop_requested:
            self.note_stop()

    def note_stop(self) -> None:
        """Remember that the run was asked to stop; nothing else of what the store told is newer than `run`."""
        self.run = replace(self.run, stop_requested=True)

    async def confirm(self) -> None:
        """Make sure that the lease is still ours, before something is done that no condition in the store guards."""
        seconds = self._settings.lease_seconds
        run = await self.persistently(
            lambda: self._store.renew_lease(self.run, lease_seconds=seconds, now=time.time())
        )
        if run is None:
            raise LeaseLost

    async def mark_running(self) -> None:
        """`pending → running`."""
        self._keep(await self.persistently(lambda: self._store.mark_running(self.run)))

    async def set_takeovers(self, count: int) -> None:
        """Write down how many takeovers in a row brought no frame."""
        self._keep(await self.persistently(lambda: self._store.set_takeovers(self.run, count)))

    async def append(self, last: int, frames: bytes, *, own: bool = False) -> None:
        """Write frames up to `last` behind what is recorded. `own`: a gateway's, in place of the sandbox's."""
        first = self.run.recorded + 1
        self._keep(
            await self.persistently(
                lambda: self._store.append_frames(self.run, first=first, last=last, frames=frames, own=own)
            )
        )

    async def finish(self, state: RunState, reason: str, message: Message) -> None:
        """End the run and promote the next one in the queue."""
        result = await self.persistently(
            lambda: self._store.finish_run(
                self.run,
                state=state,
                reason=reason,
                message=message,
                gateway=self._gateway,
                lease_seconds=self._settings.lease_seconds,
            )
        )
        if result is None:
            raise LeaseLost
        self.run, self.promoted = result

    async def release(self) -> None:
        """Give the lease back, so that a sweeper takes the run at once."""
        await self._store.release_lease(self.run)

    async def recorded(self) -> AsyncIterator[bytes]:
        """What an earlier recorder wrote, as chunks of whole lines."""
        after = 0
        backoff = Backoff(first=0.2, most=5.0)
        while self.run.recorded:
            try:
                async for chunk in self._store.read_frames(self.run.session, self.run.id, after=after):
                    yield chunk
                    after = seq_of(chunk) or after
            except errors.StoreUnavailable as error:
                log.warning(
                    "session %s run %s: waits for the store: %s", self.run.session, self.run.id, error
                )
                await asyncio.sleep(backoff.next())
            except (errors.SessionNotFound, errors.RunNotFound) as error:
                raise LeaseLost from error
            else:
                return

    @property
    def waits_for_store(self) -> bool:
        """Whether a call takes longer than a store that is well needs."""
        now = asyncio.get_running_loop().time()
        return any(now - began > STORE_SECONDS for began in self._asked_at.values())

    async def persistently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a store call while the store is away."""
        me = object()
        self._asked_at[me] = asyncio.get_running_loop().time()
        try:
            return await self._repeated(call)
        finally:
            del self._asked_at[me]

    async def _repeated(self, call: Callable[[], Awaitable[T]]) -> T:
        backoff = Backoff(first=0.2, most=5.0)
        while True:
            try:
                return await call()
            except errors.StoreUnavailable as error:
                log.warning(
                    "session %s run %s: waits for the store: %s", self.run.session, self.run.id, error
                )
                await asyncio.sleep(backoff.next())
            except (errors.SessionNotFound, errors.RunNotFound) as error:
                raise LeaseLost from error

    def _keep(self, run: Run | None) -> None:
        if run is None:
            raise LeaseLost
        # A stop that was asked for here may not have reached the store yet.
        self.run = replace(run, stop_requested=run.stop_requested or self.run.stop_requested)
