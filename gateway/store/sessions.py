"""Sessions: META holds a session, a listing entry in its owner's partition points to it.

The entry moves with the session's last use (order.py); a listing reads the METAs in one batch and drops entries whose
session has expired.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from gateway.errors import Conflict, NotOwner, SessionGone, SessionNotFound, StoreDamaged, StoreUnavailable
from gateway.model import Page, Session
from gateway.store import keys, order
from gateway.store.client import Table
from gateway.store.codec import Item
from gateway.store.lifetime import Lifetime
from gateway.store.queries import by_prefix, expired, listing
from gateway.store.requests import ConditionFailed, Write, put, update
from gateway.store.sealing import KEY_NAME, Sealer, sealed

log = logging.getLogger(__name__)

UNREADABLE: Final = b"(this title cannot be read)"
"""In place of one that was damaged; who renames the session mends it."""

OPEN_SESSION: Final = "attribute_exists(#pk) AND #deleting = :false"
"""The condition on META under which a session takes anything new (with `false=False`)."""


def to_item(session: Session, *, expires_at: int) -> Item:
    """META of a session, its title in the clear."""
    pk, sk = keys.meta(session.id)
    return {
        "pk": pk,
        "sk": sk,
        "id": session.id,
        "owner": session.owner,
        "title": session.title,
        "created_at": session.created_at,
        "updated_at": session.updated_at,
        "listed_at": session.updated_at,
        "sdk_session_id": session.sdk_session_id,
        "active_run": session.active_run or "",
        "queue": session.queue,
        "version": session.version,
        "deleting": False,
        "egress_hosts": session.egress_hosts,
        "expires_at": expires_at,
    }


def from_item(item: Item) -> Session:
    """The session of a META that is opened. Its title is its body where it was encrypted: a version that knows none
    shows an empty one."""
    return Session(
        id=item["id"],
        owner=item["owner"],
        title=item["body"].decode() if "body" in item else item["title"],
        created_at=float(item["created_at"]),
        updated_at=float(item["updated_at"]),
        sdk_session_id=item["sdk_session_id"],
        active_run=item["active_run"] or None,
        queue=tuple(item["queue"]),
        version=item["version"],
        deleting=item["deleting"],
        used_at=float(item.get("used_at", 0)),
        egress_hosts=tuple(item.get("egress_hosts", ())),
    )


def place(
    meta: Item, lifetime: Lifetime, *, active: str, queue: list[str], sdk_session_id: str = ""
) -> tuple[Write, ...]:
    """META with its active run ("" for none) and queue, unless it has changed since `meta` was read, and its entry on
    top of its owner's list. META comes first."""
    used_at = max(lifetime.now(), order.listed_at(meta))
    change = "SET #active_run = :active, #queue = :queue, #updated_at = :now, #listed_at = :now, #expires_at = :until"
    values = {"sdk": sdk_session_id} if sdk_session_id else {}
    if values:
        change += ", #sdk_session_id = :sdk"
    placed = update(
        (meta["pk"], meta["sk"]),
        f"{change} ADD #version :one",
        f"{OPEN_SESSION} AND #version = :version",
        active=active,
        queue=queue,
        now=used_at,
        until=lifetime.until(),
        one=1,
        false=False,
        version=meta["version"],
        **values,
    )
    return placed, *order.moved(meta, used_at)


def not_found(session: str) -> SessionNotFound:
    """The error for a session that is not there."""
    return SessionNotFound(
        f"there is no session {session}; it may have expired or been deleted", field="sessionId"
    )


def gone(session: str) -> SessionGone:
    """The error for a session that is being deleted."""
    return SessionGone(f"session {session} is being deleted", field="sessionId")


class Sessions:
    """What the store does with sessions."""

    def __init__(self, table: Table, lifetime: Lifetime, sealer: Sealer) -> None:
        self._table = table
        self._lifetime = lifetime
        self._sealer = sealer

    async def create(self, session: Session) -> Session:
        """See `Store.create_session`."""
        now = self._lifetime.now()
        item = to_item(session, expires_at=self._lifetime.until())
        if (key := await self._sealer.key()) is not None:
            item |= {"title": "", **sealed(key, keys.meta(session.id), {"body": session.title.encode()})}
        try:
            await self._table.transact(
                [
                    put(item, "attribute_not_exists(#pk) OR #expires_at <= :now", now=now),
                    order.new_entry(session.owner, session.id, session.updated_at),
                ]
            )
        except ConditionFailed as failed:
            there = failed.found[0]
            if not there or there["owner"] != session.owner:
                raise NotOwner(f"session {session.id} is another user's", field="sessionId") from None
            return await self._session(there)
        return session

    async def meta(self, session: str) -> Item:
        """META as it is. Raises `errors.SessionNotFound`."""
        item = await self._table.get(keys.meta(session))
        if item is None or expired(item, self._lifetime.now()):
            raise not_found(session)
        return item

    async def get(self, session: str) -> Session:
        """See `Store.get_session`."""
        return await self._session(await self.meta(session))

    async def page(self, owner: str, *, limit: int, cursor: str | None) -> Page[Session]:
        """See `Store.list_sessions`. A page may hold less than `limit` when sessions have expired."""
        metas, following = await self.metas(owner, limit=limit, cursor=cursor)
        return Page(tuple([await self._session(meta) for meta in metas]), following)

    async def metas(
        self, owner: str, *, limit: int, cursor: str | None, forward: bool = False
    ) -> tuple[list[Item], str | None]:
        """A page of an owner's METAs by their last use, newest first (else `forward`), and the cursor of the next one.
        Entries that are not where they belong are put right."""
        now = self._lifetime.now()
        pk = keys.user(owner)
        entries, following = await listing(
            self._table, pk, keys.SESSION, limit=limit, cursor=cursor, forward=forward, now=now
        )
        metas = await self._table.get_many(list({keys.meta(entry["id"]): entry for entry in entries}))
        found = [(entry, metas.get(keys.meta(entry["id"]))) for entry in entries]
        strays = [
            (entry, meta)
            for entry, meta in found
            if meta is None or order.entry(meta) != (entry["pk"], entry["sk"])
        ]
        live = {meta["id"]: meta for _, meta in found if meta is not None and not expired(meta, now)}
        await asyncio.gather(
            *(order.forget(self._table, entry, meta) for entry, meta in strays),
            *(order.settle(self._table, meta) for meta in live.values()),
        )
        return list(live.values()), following

    async def rename(self, session: str, title: str) -> Session:
        """See `Store.rename_session`."""
        change = "SET #title = :title, #updated_at = :now"
        key = await self._sealer.key()
        if key is None:
            return await self._change(session, f"{change} REMOVE #body, #key ADD #version :one", title=title)
        item = sealed(key, keys.meta(session), {"body": title.encode()})
        change += ", #body = :body, #key = :named ADD #version :one"
        return await self._change(session, change, title="", body=item["body"], named=item[KEY_NAME])

    async def set_sdk_session(self, session: str, sdk_session_id: str) -> None:
        """See `Store.set_sdk_session`."""
        await self._change(
            session, "SET #sdk_session_id = :sdk, #updated_at = :now ADD #version :one", sdk=sdk_session_id
        )

    async def allow_host(self, session: str, host: str, *, most: int) -> Session:
        """See `Store.allow_host`."""

        def added(hosts: tuple[str, ...]) -> tuple[str, ...]:
            if host not in hosts and len(hosts) >= most:
                raise Conflict(
                    f"This session has {most} hosts of its own already: take one back, or ask whoever runs this "
                    "deployment to list this one.",
                    field="host",
                )
            return hosts if host in hosts else (*hosts, host)

        return await self._set_hosts(session, added)

    async def disallow_host(self, session: str, host: str) -> Session:
        """See `Store.disallow_host`."""
        return await self._set_hosts(session, lambda hosts: tuple(one for one in hosts if one != host))

    async def _set_hosts(self, session: str, change: Callable[[tuple[str, ...]], tuple[str, ...]]) -> Session:
        while True:
            known = await self._session(await self.meta(session))
            hosts = change(known.egress_hosts)
            if hosts == known.egress_hosts:
                return known
            try:
                item = await self._table.write(
                    update(
                        keys.meta(session),
                        "SET #egress_hosts = :hosts ADD #version :one",
                        f"{OPEN_SESSION} AND #version = :version",
                        hosts=hosts,
                        one=1,
                        false=False,
                        version=known.version,
                    )
                )
            except ConditionFailed as failed:
                found = failed.found[0]
                if not found:
                    raise not_found(session) from None
                if found["deleting"]:
                    raise gone(session) from None
                continue  # something else changed it meanwhile
            return await self._session(item)

    async def use(self, session: str) -> None:
        """See `Store.use_session`. The version stays: nothing that depends on it changes."""
        with suppress(ConditionFailed):
            await self._table.write(
                update(
                    keys.meta(session),
                    "SET #used_at = :now",
                    "attribute_exists(#pk)",
                    now=self._lifetime.now(),
                )
            )

    async def _change(self, session: str, change: str, **values: object) -> Session:
        now = self._lifetime.now()
        try:
            item = await self._table.write(
                update(keys.meta(session), change, OPEN_SESSION, now=now, one=1, false=False, **values)
            )
        except ConditionFailed as failed:
            raise gone(session) if failed.found[0] else not_found(session) from None
        await order.settle(self._table, item)
        return await self._session(item)

    async def _session(self, meta: Item) -> Session:
        """One whose title does not open has none that could be told; all else of it is there."""
        try:
            await self._sealer.ready([meta])
            return from_item(self._sealer.opened(meta))
        except StoreDamaged as error:
            log.warning("session %s: its title cannot be told: %s", meta["id"], error.message)
            return from_item({**meta, "body": UNREADABLE})

    async def settle(self, session: str) -> None:
        """Move its entry where its last use was not one that does so; nothing for a session that is gone."""
        with suppress(StoreUnavailable):  # what was asked is done
            meta = await self._table.get(keys.meta(session))
            if meta is not None:
                await order.settle(self._table, meta)

    async def begin_delete(self, session: str) -> Item | None:
        """See `Store.begin_delete`. META as it is then, None when it is gone."""
        change = "SET #deleting = :true ADD #version :one"
        try:
            return await self._table.write(
                update(keys.meta(session), change, "attribute_exists(#pk)", true=True, one=1)
            )
        except ConditionFailed:
            return None

    async def delete(self, session: str) -> None:
        """See `Store.delete_session`.

        META is marked first, so nothing new is admitted. The first pass takes the runs, and with them the fence that a
        write of frames or of a run's end needs; so a later pass finds what came meanwhile, and the last one nothing.
        """
        meta = await self.begin_delete(session)
        while await self._delete_all(keys.session(session)):
            pass
        if meta is not None:  # else what was left had expired, or belonged to a deletion that was cut short
            await self._table.write_many(deletes=[order.entry(meta)])
            await self._table.write_many(deletes=[keys.meta(session)])

    async def _delete_all(self, pk: str) -> int:
        """One pass; how many items it found."""
        count = 0
        async for page in self._table.pages(by_prefix(pk, keys_only=True)):
            doomed = [(item["pk"], item["sk"]) for item in page if item["sk"] != keys.META]
            await self._table.write_many(deletes=doomed)
            count += len(doomed)
        return count
