"""Stopping: a wish that a run's recorder acts on, or the end at once of a run that still waits."""

from __future__ import annotations

from typing import Any

from container.protocol import ExitReason, FrameType, encode, stamp
from gateway.model import Run, RunState
from gateway.store import keys
from gateway.store.client import RetryBudget, Table
from gateway.store.codec import pack
from gateway.store.frames import Frames
from gateway.store.leases import Leases
from gateway.store.lifetime import Lifetime
from gateway.store.queries import expired
from gateway.store.requests import ConditionFailed, put, update
from gateway.store.runitems import from_item, not_found
from gateway.store.sessions import gone, place
from gateway.store.sessions import not_found as no_session


class Stops:
    """What the store does when somebody asks a run to stop."""

    def __init__(self, table: Table, lifetime: Lifetime, leases: Leases, frames: Frames) -> None:
        self._table = table
        self._lifetime = lifetime
        self._leases = leases
        self._frames = frames

    async def stop(self, session: str, run: str) -> Run:
        """See `Store.request_stop`: one update for a run that is on, two reads' worth more for a queued one."""
        budget = RetryBudget(self._table.seconds)
        while True:
            wish = update(
                keys.run(session, run),
                "SET #stop_requested = :true",
                "#state IN (:pending, :running)",
                true=True,
                pending=RunState.PENDING,
                running=RunState.RUNNING,
            )
            try:
                return from_item(await self._table.write(wish))
            except ConditionFailed as failed:
                there = failed.found[0]
            if not there or expired(there, self._lifetime.now()):
                raise not_found(run)
            found = from_item(there)
            if found.state.final:
                return found
            if await self._stop_queued(found):
                return await self._leases.get(session, run)
            await budget.wait("the session changes too fast")

    async def _stop_queued(self, run: Run) -> bool:
        """End a queued run: its state, its frames and its place in the queue, at once. False when the session
        changed meanwhile."""
        meta = await self._table.get(keys.meta(run.session))
        if meta is None:
            raise no_session(run.session)
        if meta["deleting"]:
            raise gone(run.session)
        begin: dict[str, Any] = {"type": FrameType.RUN}
        end: dict[str, Any] = {"type": FrameType.PROCESS_EXIT, "exitCode": None, "reason": ExitReason.STOPPED}
        frames = b"".join(
            stamp(encode(frame), run.id, seq) + b"\n" for seq, frame in enumerate((begin, end), 1)
        )
        stopped = update(
            keys.run(run.session, run.id),
            "SET #state = :stopped, #reason = :reason, #recorded = :two, #stop_requested = :true, #expires_at = :until",
            "#state = :queued",
            stopped=RunState.STOPPED,
            queued=RunState.QUEUED,
            reason=ExitReason.STOPPED,
            two=2,
            true=True,
            until=self._lifetime.until(),
        )
        queue = [waiting for waiting in meta["queue"] if waiting != run.id]
        placed = place(meta, self._lifetime, active=meta["active_run"], queue=queue)
        recorded = put(await self._frames.log_item(run, 1, 2, pack(frames)))
        try:
            await self._table.transact([stopped, recorded, *placed])
        except ConditionFailed:
            return False
        return True
