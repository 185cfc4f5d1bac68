"""Tickets, used once, and the users' settings."""

from __future__ import annotations

import json
import math
from typing import Any

from container.protocol import encode
from gateway.errors import PayloadTooLarge
from gateway.store import keys
from gateway.store.bodies import PIECE_BYTES
from gateway.store.client import Table
from gateway.store.requests import ConditionFailed, put, update


class Tickets:
    """A used ticket stays, marked, until its TTL: deleting it at use would cost the same and forget who used it."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def put(self, ticket: str, claims: dict[str, Any], *, expires_at: float) -> None:
        """See `Store.put_ticket`. A ticket that is there already stays as it is, used or not."""
        pk, sk = keys.ticket(ticket)
        body = encode(claims).decode()
        item = {"pk": pk, "sk": sk, "claims": body, "until": expires_at, "expires_at": math.ceil(expires_at)}
        try:
            await self._table.write(put(item, "attribute_not_exists(#pk)"))
        except ConditionFailed:
            return

    async def take(self, ticket: str, *, now: float, op: str) -> dict[str, Any] | None:
        """See `Store.take_ticket`. `op` names this call: its own second attempt finds the ticket used by itself."""
        unused = "attribute_exists(#pk) AND #until > :now AND (attribute_not_exists(#used) OR #used = :op)"
        try:
            item = await self._table.write(
                update(keys.ticket(ticket), "SET #used = :op", unused, now=now, op=op)
            )
        except ConditionFailed:
            return None
        claims: dict[str, Any] = json.loads(item["claims"])
        return claims


class UserSettings:
    """One item a user."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def get(self, owner: str) -> dict[str, Any]:
        """See `Store.get_settings`."""
        item = await self._table.get(keys.settings(owner))
        found: dict[str, Any] = json.loads(item["settings"]) if item else {}
        return found

    async def put(self, owner: str, settings: dict[str, Any]) -> None:
        """See `Store.put_settings`. Raises `errors.PayloadTooLarge` over 300 KB."""
        pk, sk = keys.settings(owner)
        await self._table.write(put({"pk": pk, "sk": sk, "settings": _text(settings)}))

    async def replace(self, owner: str, found: dict[str, Any], settings: dict[str, Any]) -> bool:
        """See `Store.replace_settings`."""
        pk, sk = keys.settings(owner)
        item = {"pk": pk, "sk": sk, "settings": _text(settings)}
        try:
            await self._table.write(put(item, "#settings = :found", found=_text(found)))
        except ConditionFailed as failed:
            # A second attempt of this very call finds its own work.
            return (failed.found[0] or {}).get("settings") == item["settings"]
        return True


def _text(settings: dict[str, Any]) -> str:
    body = encode(settings)
    if len(body) > PIECE_BYTES:
        raise PayloadTooLarge(f"settings have {len(body)} bytes; at most {PIECE_BYTES} are kept")
    return body.decode()
