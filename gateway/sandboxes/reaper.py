"""The reaper: stops sandboxes that have been idle for long, their snapshots kept; deletes what has no session."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING

from gateway import errors
from gateway.sandboxes.drivers import Sandbox, SandboxState
from gateway.sandboxes.snapshots import Taken, gone_for_good

if TYPE_CHECKING:
    from gateway.sandboxes.agent_client import AgentClient
    from gateway.sandboxes.drivers import Driver
    from gateway.sandboxes.snapshots import Snapshots
    from gateway.store import Store

FRESH_SECONDS = 12.0
"""An answer that took longer (a call is bounded to ten seconds) says nothing about now."""

SILENT_ROUNDS = 10
"""A sandbox that does not answer for so many rounds is stopped: at least an idle limit's time, or ten minutes."""

BUSY_ROUNDS = 10
"""A sandbox that says for so many rounds that it is busy, while its session is idle, is stopped all the same."""

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Sandboxes that are looked at side by side: a large snapshot must not hold up all the others."""


class Reaper:
    """Looks at every sandbox of the stack, ten times in an idle limit and at least once a minute.

    The store says which sessions are idle; a sandbox of one that is not is not even asked. That a sandbox agrees to be
    retired only orders this with a prompt that comes meanwhile: one that never agrees is stopped in the end. A sandbox
    whose background jobs write or listen, by its own word, is left alone for as long as settings allow from the
    session's last use on.
    """

    def __init__(
        self,
        driver: Driver,
        store: Store,
        agent: AgentClient,
        snapshots: Snapshots | None,
        *,
        idle: float,
        background: float = 0,
    ) -> None:
        """`idle`, `background`: seconds. `snapshots`: None when they are off."""
        self._driver = driver
        self._store = store
        self._agent = agent
        self._snapshots = snapshots
        self._idle = idle
        self._background = background
        self._silent: dict[str, int] = {}
        """Session → for how many rounds its sandbox has not answered."""
        self._busy: dict[str, int] = {}
        """Session → for how many rounds its sandbox has said that it is busy, though the session is idle."""

    async def reap_forever(self) -> None:
        """Look again and again until cancelled; what fails is left to the next round."""
        while True:
            await asyncio.sleep(min(60.0, self._idle / 10) * random.uniform(0.7, 1.3))
            try:
                await self.reap()
            except errors.VaporForgeError as error:
                log.warning("the reaper waits: %s", error)
            except Exception:
                log.exception("the reaper failed; it goes on")

    async def reap(self) -> None:
        """One look at every sandbox, and at some of the snapshots."""
        turn = asyncio.Semaphore(AT_ONCE)
        sandboxes = await self._driver.list()
        self._silent = {one.session: self._silent.get(one.session, 0) for one in sandboxes}
        self._busy = {one.session: self._busy.get(one.session, 0) for one in sandboxes}
        async with asyncio.TaskGroup() as group:
            for sandbox in sandboxes:
                group.create_task(self._reap_in_turn(sandbox, turn))
        if self._snapshots is not None:
            await self._snapshots.sweep(self._store)

    async def _reap_in_turn(self, sandbox: Sandbox, turn: asyncio.Semaphore) -> None:
        async with turn:
            try:
                if sandbox.state is SandboxState.RUNNING:
                    # Its `started_at` tells it from a successor; a listing may tell another one.
                    sandbox = await self._driver.status(sandbox.session)
                await self._reap_or_bear(sandbox)
            except errors.VaporForgeError as error:
                log.info("session %s: not reaped: %s", sandbox.session, error)

    async def _reap_or_bear(self, sandbox: Sandbox) -> None:
        try:
            await self._reap_one(sandbox)
        except errors.SandboxUnavailable as error:
            await self._bear(sandbox, error)
        else:
            self._silent[sandbox.session] = 0

    async def _reap_one(self, sandbox: Sandbox) -> None:
        if await gone_for_good(self._store, sandbox.session):
            log.info("session %s is gone: its sandbox is deleted", sandbox.session)
            await self._driver.delete(sandbox.session)
            return
        if sandbox.state is not SandboxState.RUNNING:
            return
        since = await self._idle_since(sandbox)
        if since is None:
            self._busy[sandbox.session] = 0
        elif await self._is_at_work(sandbox, since):
            log.debug("session %s: idle, its background jobs go on", sandbox.session)
        elif await self._is_retired(sandbox):
            log.info("session %s: idle, its sandbox is stopped", sandbox.session)
            await self._stop(sandbox)

    async def _idle_since(self, sandbox: Sandbox) -> float | None:
        """Since when the session has been idle, by what gateways have written of it; None within the limit."""
        try:
            session = await self._store.get_session(sandbox.session)
        except errors.SessionNotFound:  # of another store: only its sandbox knows
            return 0.0
        used_at = max(session.updated_at, session.used_at, sandbox.started_at)
        return used_at if session.active_run is None and time.time() - used_at >= self._idle else None

    async def _is_at_work(self, sandbox: Sandbox, since: float) -> bool:
        """Whether it says that its background jobs do something, and the time for which that counts is not over."""
        if time.time() - since >= self._background:
            return False
        try:
            quiet = await self._agent.jobs_quiet(sandbox)
        except errors.VaporForgeError as error:  # what is asked of it next says whether it answers at all
            log.info("session %s: its jobs are not known: %s", sandbox.session, error)
            return False
        return quiet is not None and quiet < self._idle

    async def _is_retired(self, sandbox: Sandbox) -> bool:
        """Whether the sandbox of an idle session may be stopped now: its snapshot is kept, or was given up, and it
        takes no queries any more, or has refused to for long."""
        # The snapshot comes before the retirement, so that no prompt ever waits for one: a prompt that comes
        # meanwhile is answered, and the sandbox then refuses to retire: it has not been idle since the snapshot began.
        begun = time.monotonic()
        if self._snapshots is not None:
            match await self._snapshots.take(sandbox, idle=self._idle):
                case Taken.REFUSED:
                    return await self._is_overdue(sandbox)
                case Taken.FAILED:
                    return False
            await self._snapshots.delete_if_gone(sandbox.session, self._store)
        asked = time.monotonic()
        if not await self._agent.retire(sandbox, idle=max(self._idle, asked - begun)):
            return await self._is_overdue(sandbox)
        # Else this gateway was paused: another may have replaced the sandbox; the next round asks again.
        return time.monotonic() - asked <= FRESH_SECONDS

    async def _is_overdue(self, sandbox: Sandbox) -> bool:
        """Count a refusal; whether it was one too many. Idleness is looked up again: a prompt may have come."""
        self._busy[sandbox.session] += 1
        if self._busy[sandbox.session] < BUSY_ROUNDS or await self._idle_since(sandbox) is None:
            return False
        log.warning(
            "session %s: idle, its sandbox says busy for %d rounds and is stopped",
            sandbox.session,
            BUSY_ROUNDS,
        )
        return True

    async def _stop(self, sandbox: Sandbox) -> None:
        """Stop this sandbox, and not one that has taken its place since it was looked at."""
        now = await self._driver.status(sandbox.session)
        if now.started_at == sandbox.started_at:
            await self._driver.stop(sandbox.session)

    async def _bear(self, sandbox: Sandbox, error: errors.SandboxUnavailable) -> None:
        """A sandbox that answers nobody for long is of no use to its session either: the next prompt wakes another."""
        self._silent[sandbox.session] += 1
        log.info("session %s: not reaped: %s", sandbox.session, error)
        if self._silent[sandbox.session] > SILENT_ROUNDS:
            log.warning("session %s: its sandbox does not answer and is stopped", sandbox.session)
            await self._stop(sandbox)
