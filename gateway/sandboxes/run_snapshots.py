"""A snapshot behind each run, where nothing else keeps a sandbox's files: a lost host costs one run at most."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway import errors
from gateway.sandboxes.drivers import SandboxState
from gateway.sandboxes.snapshots import Taken

if TYPE_CHECKING:
    from gateway.sandboxes.drivers import Driver
    from gateway.sandboxes.snapshots import Snapshots
    from gateway.store import Store

log = logging.getLogger(__name__)

AT_ONCE: Final = 4
"""Snapshots under way at once in a gateway: they share its network and its threads with everything else."""

PAUSES: Final = (0.0, 2.0, 10.0)
"""Before each attempt, in seconds. What fails three times is left to the next run's end, and to the reaper."""


class RunSnapshots:
    """Takes them beside everything else: one at a time for a session, and one for all runs that end meanwhile.

    A run that begins breaks one off; its own end brings the next. Nothing is packed or sent of a sandbox in which
    nothing has changed since.
    """

    def __init__(self, driver: Driver, store: Store, snapshots: Snapshots) -> None:
        self._driver = driver
        self._store = store
        self._snapshots = snapshots
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._taking: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()

    def run_ended(self, session: str) -> None:
        """A run of the session has ended, and its end is in the store. Returns at once."""
        if session in self._taking:
            self._again.add(session)
            return
        self._taking[session] = asyncio.create_task(self._take(session), name=f"snapshot {session}")

    async def close(self) -> None:
        """Break off what is on."""
        tasks = list(self._taking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, session: str) -> None:
        self._again.add(session)
        try:
            while session in self._again:
                self._again.discard(session)
                await self._try(session)
        finally:
            del self._taking[session]

    async def _try(self, session: str) -> None:
        try:
            for pause in PAUSES:
                await asyncio.sleep(pause)
                async with self._turn:
                    if session in self._again or await self._is_taken(session):
                        return
        except errors.VaporForgeError as error:
            log.warning("session %s: no snapshot behind its run: %s", session, error)
        except Exception:
            log.exception("session %s: no snapshot behind its run", session)

    async def _is_taken(self, session: str) -> bool:
        """Whether there is a snapshot, or nothing to take one of."""
        sandbox = await self._driver.status(session)
        if sandbox.state is not SandboxState.RUNNING:
            return True
        if await self._snapshots.take_between_runs(sandbox) is not Taken.DONE:
            return False
        await self._snapshots.delete_if_gone(session, self._store)
        return True
