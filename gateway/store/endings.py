"""The end of a run, and the next one's turn: one read and one transaction, one read more where a run is promoted.

In write units: RUN 2 (and 1 to 2 for leaving the index), META 2, the move in the list 4, the answer's IDEM 2 and MSG 2
for each KB, the promoted run 2 and its index entry 1 to 2.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.errors import Conflict
from gateway.model import Message, Run, RunState
from gateway.store import keys
from gateway.store.client import RetryBudget, Table
from gateway.store.codec import Item
from gateway.store.lifetime import Lifetime
from gateway.store.messages import Messages
from gateway.store.requests import ConditionFailed, Write, update
from gateway.store.runitems import FENCE, fence, from_item, may_become, not_found
from gateway.store.sessions import place

Ended = tuple[Run, Run | None]
"""The ended run, and the run that was promoted."""


class Endings:
    """What the store does when a recorder ends its run."""

    def __init__(self, table: Table, lifetime: Lifetime, messages: Messages) -> None:
        self._table = table
        self._lifetime = lifetime
        self._messages = messages

    async def finish(
        self,
        run: Run,
        *,
        state: RunState,
        reason: str,
        message: Message | None,
        gateway: str,
        lease_seconds: float,
        op: str,
    ) -> Ended | None:
        """See `Store.finish_run`. In a session that is gone or going only the run ends.
        Raises `errors.Conflict` when the run's state does not allow `state`."""
        budget = RetryBudget(self._table.seconds)
        answer = _Answer(self._messages, message)
        await answer.stage(op)
        skipped: set[str] = set()
        while True:
            meta = await self._table.get(keys.meta(run.session))
            if meta is None or meta["deleting"]:
                meta = None
                await answer.drop()
            queue = [waiting for waiting in meta["queue"] if waiting not in skipped] if meta else []
            promoted = queue.pop(0) if queue else ""
            writes = {"run": self._end(run, state, reason, promoted, op), **answer.writes}
            if meta is not None:
                placed = place(
                    meta, self._lifetime, active=promoted, queue=queue, sdk_session_id=answer.sdk_session_id
                )
                writes |= {f"meta {number}": write for number, write in enumerate(placed)}
            if promoted:
                lease_until = self._lifetime.now() + lease_seconds
                writes["next"] = _promote(run.session, promoted, gateway=gateway, lease_until=lease_until)
            try:
                await self._table.transact(tuple(writes.values()))
            except ConditionFailed as error:
                failed = {
                    name: item for name, item in zip(writes, error.found, strict=True) if item is not None
                }
                if "run" in failed:
                    return await self._ended_before(run, failed["run"], answer, gateway=gateway, op=op)
                if "idem" in failed:
                    await answer.drop()
                if "next" in failed:
                    skipped.add(promoted)
                await budget.wait("the session changes too fast")
            else:
                if not promoted:
                    return replace(run, state=state, reason=reason, lease_until=0.0), None
                return await self._both(run.session, run.id, promoted)

    async def _ended_before(
        self, run: Run, there: Item, answer: _Answer, *, gateway: str, op: str
    ) -> Ended | None:
        """What a failed fence means: ended already by this lease (a repeat: success), or not ours any more."""
        if there.get("op") != op:  # else the answer was stored by an attempt of this very call
            await answer.drop()
        if there.get("generation") != run.generation or there.get("lease_owner") != run.lease_owner:
            return None
        now = from_item(there)
        if not now.state.final:
            raise Conflict(f"run {run.id} is {now.state}; it cannot end as asked", field="state")
        if not there.get("promoted"):
            return now, None
        following = await self._table.get(keys.run(run.session, there["promoted"]))
        if following is None or following["lease_owner"] != gateway or following["state"] != RunState.PENDING:
            return now, None
        return now, from_item(following)

    async def _both(self, session: str, run: str, promoted: str) -> Ended:
        """The ended run and the promoted one, as they are."""
        run_key, next_key = keys.run(session, run), keys.run(session, promoted)
        found = await self._table.get_many([run_key, next_key])
        if run_key not in found:
            raise not_found(run)
        following = found.get(next_key)
        return from_item(found[run_key]), from_item(following) if following else None

    def _end(self, run: Run, state: RunState, reason: str, promoted: str, op: str) -> Write:
        allowed, sources = may_become(state)
        change = (
            "SET #state = :state, #reason = :reason, #promoted = :promoted, #lease_until = :zero, #op = :op,"
            " #expires_at = :until REMOVE #open"
        )
        return update(
            keys.run(run.session, run.id),
            change,
            f"{FENCE} AND {allowed}",
            state=state,
            reason=reason,
            promoted=promoted,
            zero=0,
            op=op,
            until=self._lifetime.until(),
            **sources,
            **fence(run),
        )


class _Answer:
    """The assistant's message while its run ends: staged, then written with the end, or dropped."""

    def __init__(self, messages: Messages, message: Message | None) -> None:
        self._messages = messages
        self._message = message
        self._named: Item = {}
        self.writes: dict[str, Write] = {}
        self.sdk_session_id = str(message.meta.get("sdkSessionId") or "") if message else ""

    async def stage(self, op: str) -> None:
        if self._message is not None:
            (idem, item), self._named = await self._messages.stage(self._message, op=op)
            self.writes = {"idem": idem, "msg": item}

    async def drop(self) -> None:
        """The message will not be written: it is there already, or nobody is left to read it."""
        if self._message is not None and self.writes:
            self.writes = {}
            await self._messages.drop(self._message.session, self._named)


def _promote(session: str, run: str, *, gateway: str, lease_until: float) -> Write:
    return update(
        keys.run(session, run),
        "SET #state = :pending, #generation = :first, #lease_owner = :gateway, #lease_until = :until, #open = :shard",
        "#state = :queued",
        pending=RunState.PENDING,
        queued=RunState.QUEUED,
        first=1,
        gateway=gateway,
        until=lease_until,
        shard=keys.shard(run),
    )
