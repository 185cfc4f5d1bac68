"""Admission: a prompt becomes a run, in one batch read and one transaction.

The transaction costs, in write units (double in a transaction): IDEM 2, MSG 2 for each KB of the packed
prompt, RUN 2 and 1 to 2 for its index entry, META 2, the move in the list 4; about 13 for an ordinary
prompt. The read (META, IDEM) costs 2 read units. A prompt that is counted costs one write more, done beside the read.
"""

from __future__ import annotations

import asyncio

from gateway.errors import Conflict, QueueFull, SessionBusy, StoreUnavailable, VaporForgeError
from gateway.model import Admission, Message, NewRun, OnBusy
from gateway.store import keys
from gateway.store.client import RetryBudget, Table
from gateway.store.codec import Item
from gateway.store.leases import Leases
from gateway.store.lifetime import Lifetime
from gateway.store.messages import Messages
from gateway.store.queries import expired
from gateway.store.quotas import Allowance
from gateway.store.requests import ConditionFailed, Write, put
from gateway.store.runitems import from_item, new_item
from gateway.store.sessions import gone, not_found, place


class Admissions:
    """What the store does with new runs."""

    def __init__(self, table: Table, lifetime: Lifetime, messages: Messages, leases: Leases) -> None:
        self._table = table
        self._lifetime = lifetime
        self._messages = messages
        self._leases = leases

    async def create(
        self,
        new: NewRun,
        *,
        on_busy: OnBusy,
        queue_limit: int,
        gateway: str,
        lease_seconds: float,
        op: str,
        allowance: Allowance | None = None,
    ) -> Admission:
        """See `Store.create_run`. Raises `errors.Conflict` when the message's id belongs to a message without a run."""
        taking = asyncio.ensure_future(_take(allowance))
        taking.add_done_callback(
            lambda done: done.cancelled() or done.exception()
        )  # nobody may be left to hear it
        admitted = unknown = False
        try:
            admission, admitted = await self._create(
                new,
                on_busy=on_busy,
                queue_limit=queue_limit,
                gateway=gateway,
                lease_seconds=lease_seconds,
                op=op,
                taking=taking,
            )
        except VaporForgeError as error:
            unknown = isinstance(error, StoreUnavailable)
            raise
        except BaseException:
            unknown = True
            raise
        finally:
            if unknown:
                taking.cancel()
            elif not admitted:
                await _give_back(allowance, taking)
        return admission

    async def _create(
        self,
        new: NewRun,
        *,
        on_busy: OnBusy,
        queue_limit: int,
        gateway: str,
        lease_seconds: float,
        op: str,
        taking: asyncio.Future[None],
    ) -> tuple[Admission, bool]:
        """The admission, and whether it was made by this call. `taking` is waited for before anything is written."""
        budget = RetryBudget(self._table.seconds)
        staged: tuple[list[Write], Item] | None = None
        while True:
            meta, known = await self._read(new)
            refusal = _refusal(meta, on_busy, queue_limit)
            if refusal is not None and known is None:
                # A batch read is not one moment's picture: a duplicate may have come in between its two items.
                known = await self._live(keys.idem(new.session, new.message))
            if staged is not None and (refusal is not None or (known is not None and known["op"] != op)):
                await self._messages.drop(new.session, staged[1])
            if known is not None:
                return await self._known(new, meta, known), known["op"] == op
            if refusal is not None:
                raise refusal
            await taking
            staged = staged or await self._stage(new, op)
            busy, queue = bool(meta["active_run"]), _queue(new, meta, on_busy)
            item = new_item(
                new, gateway=gateway, lease_until=self._lifetime.now() + lease_seconds, queued=busy
            )
            placed = place(meta, self._lifetime, active=meta["active_run"] or new.id, queue=queue)
            try:
                await self._table.transact([*staged[0], put(item, "attribute_not_exists(#pk)"), *placed])
            except ConditionFailed as failed:
                if failed.found[2] and failed.found[0] is None:
                    await self._messages.drop(new.session, staged[1])
                    raise Conflict(f"run {new.id} exists already, for another message", field="run") from None
                await budget.wait("the session changes too fast")
            else:
                if not busy:
                    return Admission(from_item(item), 0), True
                place_in_queue = queue.index(new.id) + 1
                return Admission(from_item(item), place_in_queue, active=meta["active_run"]), True

    async def _stage(self, new: NewRun, op: str) -> tuple[list[Write], Item]:
        prompt = Message(
            id=new.message,
            session=new.session,
            role="user",
            content=new.prompt,
            created_at=new.created_at,
            run=new.id,
            meta={"mode": new.mode.value},
        )
        return await self._messages.stage(prompt, op=op)

    async def _read(self, new: NewRun) -> tuple[Item, Item | None]:
        """META and, when the message's id is known, its IDEM."""
        meta_key, idem_key = keys.meta(new.session), keys.idem(new.session, new.message)
        found = await self._table.get_many([meta_key, idem_key])
        now = self._lifetime.now()
        meta, idem = found.get(meta_key), found.get(idem_key)
        if meta is None or expired(meta, now):
            raise not_found(new.session)
        if meta["deleting"]:
            raise gone(new.session)
        return meta, idem if idem is not None and not expired(idem, now) else None

    async def _live(self, key: keys.Key) -> Item | None:
        item = await self._table.get(key)
        return item if item is not None and not expired(item, self._lifetime.now()) else None

    async def _known(self, new: NewRun, meta: Item, idem: Item) -> Admission:
        if not idem["run"]:
            raise Conflict(f"message {new.message} exists already and started no run", field="messageId")
        run = await self._leases.get(new.session, idem["run"])
        position = meta["queue"].index(run.id) + 1 if run.id in meta["queue"] else 0
        active = meta["active_run"] if position else None
        return Admission(run, position, duplicate=run.id != new.id, active=active)


def _refusal(meta: Item, on_busy: OnBusy, queue_limit: int) -> Conflict | None:
    """Why a busy session takes no further prompt; None when it does."""
    if not meta["active_run"]:
        return None
    if on_busy is OnBusy.REJECT:
        return SessionBusy(
            "the session is answering already; wait, stop it, or let the prompt queue", field="onBusy"
        )
    if len(meta["queue"]) >= queue_limit:
        return QueueFull(f"{len(meta['queue'])} prompts wait in this session already, and {queue_limit} may")
    return None


def _queue(new: NewRun, meta: Item, on_busy: OnBusy) -> list[str]:
    """The session's queue once the prompt is admitted."""
    if not meta["active_run"]:
        return list(meta["queue"])
    return [new.id, *meta["queue"]] if on_busy is OnBusy.INTERRUPT else [*meta["queue"], new.id]


async def _take(allowance: Allowance | None) -> None:
    if allowance is not None:
        await allowance.take()


async def _give_back(allowance: Allowance | None, taking: asyncio.Future[None]) -> None:
    """Give back what was taken, if anything was."""
    await asyncio.wait([taking])
    if allowance is not None and taking.exception() is None:
        await allowance.give_back()
