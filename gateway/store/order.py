"""The order of an owner's list: each session's entry sorts by its last use, and moves with it.

META says where its entry is (`listed_at`), and both change in one transaction, the one of the use itself where that is
one. So a prompt waits for no further round trip, and no entry is lost or in the list twice.
"""

from __future__ import annotations

from gateway.errors import StoreUnavailable
from gateway.store import keys
from gateway.store.client import Table
from gateway.store.codec import Item
from gateway.store.requests import ConditionFailed, Write, check, delete, put, update


def listed_at(meta: Item) -> float:
    """Where in the list its entry is; versions before this one left it at the session's creation."""
    return float(meta["listed_at"] if "listed_at" in meta else meta["created_at"])


def entry(meta: Item) -> keys.Key:
    """The key of its entry."""
    return keys.entry(meta["owner"], meta["id"], listed_at(meta))


def new_entry(owner: str, session: str, used_at: float) -> Write:
    """An entry for a session that was used at that time."""
    pk, sk = keys.entry(owner, session, used_at)
    return put({"pk": pk, "sk": sk, "id": session})


def moved(meta: Item, used_at: float) -> list[Write]:
    """What moves its entry; nothing where it is there already. In a transaction with META's `listed_at`."""
    there = entry(meta)
    if there == keys.entry(meta["owner"], meta["id"], used_at):
        return []
    return [delete(there), new_entry(meta["owner"], meta["id"], used_at)]


async def settle(table: Table, meta: Item) -> None:
    """Move the entry of a session that was used without it: by a version before this one, or by what is no prompt.

    Where the session has changed meanwhile nothing is done: it is moved by that change, or by the next look. Nor where
    the store takes no writes: what was asked has its answer without this."""
    used_at = max(float(meta["updated_at"]), listed_at(meta))
    writes = moved(meta, used_at)
    if not writes or meta["deleting"]:
        return
    settled = update(
        keys.meta(meta["id"]),
        "SET #listed_at = :used_at ADD #version :one",
        "#deleting = :false AND #version = :version AND #updated_at = :seen",
        used_at=used_at,
        one=1,
        false=False,
        version=meta["version"],
        seen=meta["updated_at"],
    )
    try:
        await table.transact([settled, *writes])
    except (ConditionFailed, StoreUnavailable):
        return


async def forget(table: Table, stray: Item, meta: Item | None) -> None:
    """Delete an entry whose session is gone (`meta` is None) or has its entry elsewhere, unless that has changed. Where
    the store takes no writes the next look does it."""
    key = keys.meta(stray["id"])
    if meta is None:
        still = check(key, "attribute_not_exists(#pk)")
    elif "listed_at" in meta:
        still = check(key, "#listed_at = :listed_at", listed_at=meta["listed_at"])
    else:
        still = check(key, "attribute_not_exists(#listed_at) AND #owner = :owner", owner=meta["owner"])
    try:
        await table.transact([still, delete((stray["pk"], stray["sk"]))])
    except (ConditionFailed, StoreUnavailable):
        return
