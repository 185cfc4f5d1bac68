"""Looks at the disk four times a second, has sessions measured that may have too much, and ends those that have."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import TYPE_CHECKING, Final

from gateway import errors
from gateway.launcher.disk.ledger import MIB, Cut, Ledger, Limits, Space
from gateway.launcher.disk.meter import Meter
from gateway.launcher.disk.unseen import Unseen
from gateway.sandboxes.drivers import Disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.launcher.disk.sandboxes import Sandboxes

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.25
LIST_LOOKS: Final = 8
"""Looks between two questions to the engine who runs; it is asked too when a sandbox was started here."""

AT_ONCE: Final = 4
"""Sessions that are measured at the same time, by turns."""

QUIET_SECONDS: Final = 10.0
"""A look that fails is told this often."""


class DiskWatch:
    """Holds the sessions of a stack to their quotas, and the disk to its reserve. Without a folder to look at it does
    nothing, and refuses nobody."""

    def __init__(
        self,
        limits: Limits,
        folder: str,
        volumes: Callable[[str], Iterable[str]],
        sandboxes: Sandboxes,
        meter: Meter | None = None,
    ) -> None:
        """`folder`: where the engine keeps its volumes, as it is seen here; `volumes`: the names of a session's."""
        self._folder = folder
        self._volumes = volumes
        self._sandboxes = sandboxes
        self._meter = meter or Meter()
        self.ledger = Ledger(limits)
        self._unseen = Unseen(self.ledger, sandboxes, space=self._space, cut=self._cut, tell=self._tell)
        self._measuring: dict[str, asyncio.Task[None]] = {}
        self._listing: asyncio.Task[None] | None = None
        self._stale = True
        self._failed_at = -QUIET_SECONDS

    @property
    def watches(self) -> bool:
        """Whether there is anything to hold."""
        limits = self.ledger.limits
        return bool(self._folder and (limits.size or limits.inodes or limits.reserve))

    def refuse(self, session: str) -> None:
        """Before a sandbox is started. Raises `DiskQuota`, `DiskLow`."""
        if not self.watches:
            return
        match self.ledger.refusal(session):
            case Cut.QUOTA:
                usage, limits = self.ledger.usage(session), self.ledger.limits
                assert usage is not None  # noqa: S101 - it was refused by it
                raise errors.DiskQuota(
                    f"This session's files have {usage.size // MIB} MB or more in {usage.inodes} files, far more than "
                    f"the {limits.size // MIB} MB and {limits.inodes} files that a session may have, so it cannot be "
                    "started: empty its workspace, or delete the session."
                )
            case Cut.LOW:
                raise errors.DiskLow(
                    "The disk of this deployment is nearly full, so no sandbox is started: delete sessions that are "
                    "not needed, or ask whoever runs it to make room; then send the prompt again."
                )

    def started(self) -> None:
        """A sandbox was started here."""
        self._stale = True

    def deleted(self, session: str) -> None:
        """A session's files were deleted here."""
        self.ledger.forget(session)

    def told(self) -> Disk:
        """How the disk is, as far as it is known."""
        space, reserve = self.ledger.space, self.ledger.reserve
        if space is None:
            return Disk()
        return Disk(
            low=self.ledger.low,
            free_bytes=space.free,
            reserve_bytes=reserve.size,
            free_inodes=space.free_inodes,
            reserve_inodes=reserve.inodes,
            over=self.ledger.over,
        )

    async def watch_forever(self) -> None:
        """Until cancelled; no failure is the last look."""
        looks = 0
        try:
            while self.watches:
                try:
                    await self._look(asks=self._stale or looks % LIST_LOOKS == 0)
                except OSError as error:
                    self._tell(error)
                except Exception:
                    log.exception("the disk could not be looked at")
                looks += 1
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            tasks = [*self._measuring.values(), *([self._listing] if self._listing else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._unseen.close()
            await self._meter.close()

    async def _look(self, *, asks: bool) -> None:
        was_low = self.ledger.low
        space = await self._space()
        self.ledger.look(space)
        if self.ledger.low != was_low:
            self._unseen.known(space)
            log.warning("the disk is %s: %s", "nearly full" if self.ledger.low else "free again", self.told())
        if asks and self._listing is None:
            # Beside: an engine that takes its time for an answer keeps nobody from being measured.
            self._listing = asyncio.create_task(self._list(), name="who runs")
        for session in self.ledger.due(time.monotonic()):
            if len(self._measuring) >= AT_ONCE:
                break
            if session not in self._measuring:
                task = asyncio.create_task(self._measure(session), name=f"measure {session}")
                self._measuring[session] = task
                task.add_done_callback(self._measured)
        self._unseen.look(space)

    async def _list(self) -> None:
        self._stale = False
        try:
            self.ledger.see(await self._sandboxes.running())
        except errors.SandboxUnavailable as error:
            self._tell(error)
        finally:
            self._listing = None

    async def _measure(self, session: str) -> None:
        ledger = self.ledger
        container, mark, begun = ledger.container(session), ledger.mark(), time.monotonic()
        try:
            usage = await self._meter.measure(self._folders(session), ledger.most(session))
        except OSError as error:
            ledger.unmeasured(session, now=time.monotonic(), seconds=time.monotonic() - begun)
            self._tell(error)
            return
        now = time.monotonic()
        cut = ledger.measured(session, container, usage, mark=mark, now=now, seconds=now - begun)
        if cut is None:
            return
        log.warning("session %s: %d MB in %d files", session, usage.size // MIB, usage.inodes)
        await self._cut(session, container, cut)

    async def _cut(self, session: str, container: str, cut: Cut) -> None:
        log.warning("session %s: its sandbox is ended (%s)", session, cut)
        try:
            await self._sandboxes.cut(container, cut)
        except errors.SandboxUnavailable as error:
            self._tell(error)
            return
        self.ledger.ended(session)
        self._unseen.known(await self._space())

    async def _space(self) -> Space:
        return await asyncio.to_thread(space_of, self._folder)

    def _measured(self, task: asyncio.Task[None]) -> None:
        self._measuring = {key: other for key, other in self._measuring.items() if other is not task}

    def _folders(self, session: str) -> list[str]:
        return [f"{self._folder}/{name}/_data" for name in self._volumes(session)]

    def _tell(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._failed_at >= QUIET_SECONDS:
            self._failed_at = now
            log.warning("the disk's quotas could not be looked at: %r", error)


def space_of(folder: str) -> Space:
    """Of the file system that a folder is on, as `df` counts: what only root may use is neither free nor used."""
    found = os.statvfs(folder)
    used, used_inodes = found.f_blocks - found.f_bfree, found.f_files - found.f_ffree
    return Space(
        free=found.f_bavail * found.f_frsize,
        all=(used + found.f_bavail) * found.f_frsize,
        free_inodes=found.f_favail,
        all_inodes=used_inodes + found.f_favail,
    )
