"""Snapshots: what a sandbox holds goes to the blobs before it is reaped, and back into one that woke up empty."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from enum import Enum
from typing import TYPE_CHECKING, Final

from gateway import errors
from gateway.ids import made_at
from gateway.store.blobs import BlobNotFound, Blobs, BlobsUnavailable

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.sandboxes.agent_client import AgentClient, Snapshot
    from gateway.sandboxes.drivers import Sandbox
    from gateway.store import Store

log = logging.getLogger(__name__)

SWEEP_NAMES: Final = 20
"""Blobs whose sessions are looked up in one round of the reaper: a read each, against what a crash left behind."""


REMEMBERED: Final = 16_384
"""Sessions whose last snapshot's tag is known."""


class Taken(Enum):
    """What became of a snapshot."""

    DONE = "done"
    """It is kept, there is nothing to keep, or it failed once too often: the sandbox may be stopped."""
    REFUSED = "refused"
    """The sandbox says that it is busy, or broke off."""
    FAILED = "failed"
    """It could not be kept; the next round tries again."""


class _TooLarge(Exception):
    """The snapshot has more bytes than the settings allow."""


FAILURES: Final = (BlobsUnavailable, TimeoutError, _TooLarge)
"""Why a snapshot that a sandbox gave is not kept."""


class Snapshots:
    """Takes and restores the snapshots of one stack's sandboxes.

    A sandbox whose snapshot fails is left running and tried again at the reaper's next round, `snapshot_tries` times
    (0: without end); then it is stopped without one, so that a full bucket does not keep every sandbox for ever.
    """

    def __init__(self, settings: Settings, blobs: Blobs, agent: AgentClient) -> None:
        self._settings = settings
        self._blobs = blobs
        self._agent = agent
        self._failures: dict[str, int] = {}
        self._swept = ""
        self._kept: dict[str, str] = {}
        """Session → the tag of what was kept of it here last: the same is not kept again."""

    async def take(self, sandbox: Sandbox, *, idle: float) -> Taken:
        """Keep what a sandbox holds that has been idle for `idle` seconds. Raises `SandboxUnavailable` when it does not
        answer at all."""
        try:
            taken = await self._take(sandbox, idle)
        except FAILURES as error:
            return Taken.DONE if self._give_up(sandbox.session, error) else Taken.FAILED
        if taken is Taken.DONE:
            self._failures.pop(sandbox.session, None)
        return taken

    async def take_between_runs(self, sandbox: Sandbox) -> Taken:
        """Keep what a sandbox holds that no run is on in, whoever is connected: its end is nobody's plan, so that a
        failure is only told. Raises `SandboxUnavailable`."""
        try:
            return await self._take(sandbox, None)
        except FAILURES as error:
            why = _why(error, self._settings)
            log.warning("session %s: no snapshot behind its run: %s", sandbox.session, why)
            return Taken.FAILED

    async def _take(self, sandbox: Sandbox, idle: float | None) -> Taken:
        session = sandbox.session
        known = self._kept.get(session, "")
        try:
            async with asyncio.timeout(self._settings.snapshot_seconds):
                async with self._agent.snapshot(sandbox, idle=idle, known=known) as snapshot:
                    if snapshot is not None and not await self._keep(session, snapshot):
                        return Taken.REFUSED
        except errors.Conflict:
            return Taken.REFUSED
        return Taken.DONE

    async def _keep(self, session: str, snapshot: Snapshot) -> bool:
        """Whether the snapshot came whole."""
        self._kept.pop(session, None)
        try:
            size = await self._blobs.put(session, self._limited(snapshot.chunks))
        except errors.SandboxUnavailable as error:
            log.info("session %s: no snapshot: %s", session, error)
            return False
        while len(self._kept) >= REMEMBERED:
            del self._kept[next(iter(self._kept))]
        self._kept[session] = snapshot.tag
        log.info("session %s: snapshot of %s bytes kept", session, size)
        return True

    async def restore(self, sandbox: Sandbox) -> bool:
        """Put the session's snapshot into its fresh sandbox; False when there is none. When another gateway is at it
        this waits, and is success.

        Raises `SandboxUnavailable`: the sandbox stays fresh then, and is not to be used. An empty workspace would
        look like a whole one, and its snapshot would replace the good one.
        """
        session = sandbox.session
        try:
            async with asyncio.timeout(self._settings.snapshot_seconds), self._blobs.open(session) as chunks:
                await self._agent.restore(sandbox, chunks)
        except BlobNotFound:
            return False
        except errors.Conflict:
            log.info("session %s: restored by another gateway", session)
            return True
        except (BlobsUnavailable, errors.BadRequest, TimeoutError) as error:
            raise errors.SandboxUnavailable(
                f"The files of this session cannot be restored from its snapshot: {_why(error, self._settings)}"
            ) from error
        log.info("session %s: restored from its snapshot", session)
        return True

    async def delete(self, session: str) -> None:
        """Delete the session's snapshot; none is success. Raises `BlobsUnavailable`."""
        self._failures.pop(session, None)
        self._kept.pop(session, None)
        await self._blobs.delete(session)

    async def sweep(self, store: Store) -> None:
        """Look at some of the blobs, the next ones in each round, and delete those whose session is gone."""
        names = await self._blobs.list(after=self._swept, limit=SWEEP_NAMES)
        for session in names:
            await self.delete_if_gone(session, store)
        self._swept = names[-1] if len(names) == SWEEP_NAMES else ""

    async def delete_if_gone(self, session: str, store: Store) -> None:
        """Delete the snapshot of a session that is gone."""
        if await gone_for_good(store, session):
            log.info("session %s is gone: its snapshot is deleted", session)
            await self.delete(session)

    async def _limited(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        size, limit = 0, self._settings.snapshot_mb * 1024 * 1024
        async for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise _TooLarge(f"it has more than {self._settings.snapshot_mb} MB (VF_SNAPSHOT_MB)")
            yield chunk

    def _give_up(self, session: str, error: Exception) -> bool:
        """Count a failure; whether it was one too many."""
        count = self._failures[session] = self._failures.get(session, 0) + 1
        why = _why(error, self._settings)
        if not self._settings.snapshot_tries or count < self._settings.snapshot_tries:
            log.warning("session %s: snapshot failed, its sandbox is kept: %s", session, why)
            return False
        log.error(
            "session %s: %s snapshots failed, its sandbox is stopped without one: %s", session, count, why
        )
        del self._failures[session]
        return True


async def gone_for_good(store: Store, session: str) -> bool:
    """Whether a session was in this store and is no more. One that is older than the store belongs to another one (a
    stack whose table was changed, or lost): its files are not ours to delete."""
    try:
        await store.get_session(session)
    except errors.SessionNotFound:
        if made_at(session) >= await store.born_at():
            return True
        log.warning("session %s is not of this store: its files are left alone", session)
    return False


def _why(error: Exception, settings: Settings) -> str:
    if isinstance(error, TimeoutError):
        return f"it takes more than {settings.snapshot_seconds:g} s (VF_SNAPSHOT_SECONDS)."
    return str(error)
