"""The driver as the gateway uses it: a sandbox that woke up empty has its snapshot back before anyone gets it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gateway.sandboxes.drivers import empty, phase_of

if TYPE_CHECKING:
    from gateway.sandboxes.drivers import Driver, Sandbox
    from gateway.sandboxes.snapshots import Snapshots

REMEMBERED: Final = 4096
"""Fresh sandboxes without a snapshot that are known to be so: the first prompts of new sessions ask once."""


class WakingDriver:
    """A `Driver` around another: `ensure` restores, `delete` deletes the snapshot too.

    A sandbox that is not fresh costs nothing more: that comes with the answer that `ensure` waits for anyway.
    """

    def __init__(self, driver: Driver, snapshots: Snapshots) -> None:
        self._driver = driver
        self._snapshots = snapshots
        self._restoring: dict[str, asyncio.Task[None]] = {}
        self._without: dict[str, float] = {}
        """Session → when the sandbox was started for which there is no snapshot."""

    async def ensure(self, session: str) -> Sandbox:
        """See `Driver`; raises `SandboxUnavailable` too when the snapshot cannot be restored."""
        sandbox = await self._driver.ensure(session)
        if not sandbox.fresh or self._without.get(session) == sandbox.started_at:
            return sandbox
        task = self._restoring.get(session)
        if task is None:
            task = asyncio.create_task(self._restore(sandbox), name=f"restore {session}")
            self._restoring[session] = task
            task.add_done_callback(self._done)
        await asyncio.shield(task)  # others wait for it too
        return sandbox

    async def status(self, session: str) -> Sandbox:
        """See `Driver`."""
        return await self._driver.status(session)

    async def stop(self, session: str) -> None:
        """See `Driver`."""
        await self._driver.stop(session)

    async def delete(self, session: str) -> None:
        """See `Driver`. The sandbox goes first, so that no further snapshot comes from it; raises `BlobsUnavailable`
        when its snapshot is left: call it again."""
        await self._driver.delete(session)
        self._without.pop(session, None)
        await self._snapshots.delete(session)

    async def empty(self, session: str) -> None:
        """See `Empties`. The snapshot goes too: it would come back."""
        await empty(self._driver, session)
        self._without.pop(session, None)
        await self._snapshots.delete(session)

    async def list(self) -> Sequence[Sandbox]:
        """See `Driver`."""
        return await self._driver.list()

    def phase(self, session: str) -> str:
        """See `TellsPhase`."""
        return "workspace-restoring" if session in self._restoring else phase_of(self._driver, session)

    async def close(self) -> None:
        """See `Driver`; a restore that is on is broken off, the sandbox undoes it."""
        tasks = list(self._restoring.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._driver.close()

    async def _restore(self, sandbox: Sandbox) -> None:
        if await self._snapshots.restore(sandbox):
            return
        while len(self._without) >= REMEMBERED:
            del self._without[next(iter(self._without))]
        self._without[sandbox.session] = sandbox.started_at

    def _done(self, task: asyncio.Task[None]) -> None:
        self._restoring = {key: other for key, other in self._restoring.items() if other is not task}
        if not task.cancelled():
            task.exception()  # those who wait have it; when nobody does it is nobody's
