"""The pool's rows: members that are nobody's, whose they became, and where each session's sandbox is.

POOL          MEMBER#<id>   a started sandbox, or one that is being started, that is nobody's
POOL          KEEPER        the gateway that refills the pool, and until when
MEMBER#<id>   SESSION       the session that claimed it
SESSION#<id>  SANDBOX       under which id the session's sandbox is started: its own, or a member's
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.ids import new_id
from gateway.store import keys
from gateway.store.client import Table
from gateway.store.codec import Item
from gateway.store.group_commit import GroupCommit
from gateway.store.queries import by_prefix
from gateway.store.requests import ConditionFailed, Write, delete, put, update

SETTLE_SECONDS: Final = 600.0
"""How long a pool that is new to a table gives nothing away, and for as long besides as a gateway's task may be
protected: by then no gateway runs that knows nothing of it, and would start another sandbox for a session that has
claimed one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A sandbox of the pool. `fingerprint`: what it was started as (`Poolable.fingerprint`). `host`, `port`,
    `started_at`: as its driver told them, once it is `ready`. `since`: when it was put here, in epoch seconds."""

    id: str
    fingerprint: str
    since: float
    ready: bool = False
    host: str = ""
    port: int = 0
    started_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session's sandbox is: the member that it has claimed, or its own (empty). `op` names the decision."""

    member: str
    op: str


class PlaceChanged(Exception):
    """The session's sandbox is in another place by now than whoever decides knew."""


class PoolRows:
    """What the store does for the pool. Every method may raise `errors.StoreUnavailable`, and may be called again."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._places = GroupCommit(table)
        self.since: float | None = None
        """From when on sessions have places here (epoch seconds); None where there never was a pool. A session that
        is older has its own sandbox, whatever became of it."""

    # -- members --
    async def add(self, member: Member) -> None:
        """A member that is about to be started."""
        await self._table.write(put({**_key(keys.member(member.id)), **_fields(member)}))

    async def make_ready(self, member: Member) -> bool:
        """It is ready, as `member` says; False when it is not in the pool any more."""
        change = "SET #ready = :ready, #host = :host, #port = :port, #started_at = :started_at"
        values = {
            "ready": True,
            "host": member.host,
            "port": member.port,
            "started_at": member.started_at,
        }
        try:
            await self._table.write(update(keys.member(member.id), change, "attribute_exists(#pk)", **values))
        except ConditionFailed:
            return False
        return True

    async def members(self) -> Sequence[Member]:
        """All that are nobody's, from the oldest on."""
        found: list[Member] = []
        async for page in self._table.pages(by_prefix(keys.POOL, keys.MEMBER)):
            found += [_member(item) for item in page]
        return sorted(found, key=lambda member: (member.since, member.id))

    async def drop(self, member: str) -> bool:
        """Take a member out of the pool; False when it was not in it (any more): a session may have it."""
        try:
            await self._table.write(delete(keys.member(member), "attribute_exists(#pk)"))
        except ConditionFailed:
            return False
        return True

    async def sessions_of(self, members: Sequence[str]) -> dict[str, str]:
        """The session of each of these that was claimed, and is still where that session's sandbox is: a deletion may
        have taken the place away while another gateway claimed once more."""
        found = await self._table.get_many([keys.claimed(member) for member in dict.fromkeys(members)])
        claimed = {str(item["member"]): str(item["session"]) for item in found.values()}
        places = await self._table.get_many([keys.place(session) for session in set(claimed.values())])
        placed = {str(item["member"]) for item in places.values()}
        return {member: session for member, session in claimed.items() if member in placed}

    # -- places --
    async def place(self, session: str) -> Place | None:
        """Where the session's sandbox is; None while nothing was decided."""
        item = await self._table.get(keys.place(session))
        return Place(str(item["member"]), str(item["op"])) if item else None

    async def claim(self, member: Member, session: str, *, before: Place | None) -> Place | None:
        """Make a ready member the session's, whose place was `before`; None when another session has it, or it is gone.
        However many ask at once, a member is claimed once, and a session claims one. Raises `PlaceChanged`."""
        place = Place(member.id, new_id())
        taken = delete(
            keys.member(member.id),
            "#ready = :ready AND #fingerprint = :fingerprint",
            ready=True,
            fingerprint=member.fingerprint,
        )
        owned = put({**_key(keys.claimed(member.id)), "member": member.id, "session": session})
        try:
            await self._places.transact([taken, _placed(session, place, before), owned, *_left(before)])
        except ConditionFailed as failed:
            if failed.found[1] is not None:
                raise PlaceChanged(session) from None
            return None
        return place

    async def place_own(self, session: str, *, before: Place | None) -> Place:
        """The session's sandbox is its own. Raises `PlaceChanged` where another place was decided."""
        place = Place("", new_id())
        try:
            await self._places.transact([_placed(session, place, before), *_left(before)])
        except ConditionFailed:
            raise PlaceChanged(session) from None
        return place

    async def forget(self, session: str, place: Place) -> None:
        """The session is deleted, and so is its sandbox at `place`."""
        await self._table.write_many(
            deletes=[keys.place(session), *([keys.claimed(place.member)] if place.member else ())]
        )

    async def forget_member(self, member: str) -> None:
        """A member that no session has is deleted: whoever claimed it once is gone, or in another place."""
        await self._table.write_many(deletes=[keys.claimed(member)])

    # -- the gateway that refills --
    async def lead(self, gateway: str, *, seconds: float, now: float) -> bool:
        """Whether this gateway refills the pool for so long from now on; no other does meanwhile."""
        try:
            await self._table.write(
                update(
                    keys.KEEPER,
                    "SET #gateway = :gateway, #until = :until",
                    "attribute_not_exists(#pk) OR #gateway = :gateway OR #until < :now",
                    gateway=gateway,
                    until=now + seconds,
                    now=now,
                )
            )
        except ConditionFailed:
            return False
        return True

    async def leave(self, gateway: str) -> None:
        """Another gateway may refill at once; success when this one did not."""
        try:
            await self._table.write(delete(keys.KEEPER, "#gateway = :gateway", gateway=gateway))
        except ConditionFailed:
            return


def _placed(session: str, place: Place, before: Place | None) -> Write:
    item = {**_key(keys.place(session)), "member": place.member, "op": place.op}
    if before is None:
        return put(item, "attribute_not_exists(#pk)")
    return put(item, "#op = :before", before=before.op)


def _left(before: Place | None) -> Sequence[Write]:
    """A member that its session leaves is nobody's for good: whoever lists sandboxes finds that it is to be deleted."""
    return [delete(keys.claimed(before.member))] if before is not None and before.member else []


def _key(key: keys.Key) -> Item:
    return {"pk": key[0], "sk": key[1]}


def _fields(member: Member) -> dict[str, Any]:
    return {
        "id": member.id,
        "fingerprint": member.fingerprint,
        "since": member.since,
        "ready": member.ready,
        "host": member.host,
        "port": member.port,
        "started_at": member.started_at,
    }


def _member(item: Item) -> Member:
    return Member(
        id=str(item["id"]),
        fingerprint=str(item["fingerprint"]),
        since=float(item["since"]),
        ready=bool(item["ready"]),
        host=str(item["host"]),
        port=int(item["port"]),
        started_at=float(item["started_at"]),
    )
