"""What requests leave in the audit: who asked, from which address, and how it ended."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

from aiohttp import web

from gateway.errors import VaporForgeError
from gateway.web.request.app_keys import AUDIT
from gateway.web.request.auth import USER
from gateway.web.request.clients import client_of

MOST_TOKENS: Final = 4096
"""Tokens that a gateway remembers, to tell their first use from others."""

REFUSED: Final = frozenset({401, 403, 429})
"""Statuses of what was not allowed, or not so often."""


def record(
    request: web.Request, kind: str, *, session: str = "", outcome: str = "ok", **details: str | int
) -> None:
    """Record an act of the request's sender."""
    if (audit := request.app.get(AUDIT)) is not None:
        audit.record(
            kind,
            who=request.get(USER, ""),
            session=session,
            address=client_of(request),
            outcome=outcome,
            **details,
        )


def refused(request: web.Request, error: VaporForgeError) -> None:
    """Record a refusal, where the error is one."""
    if error.status in REFUSED:
        route = request.match_info.route.resource
        where = route.canonical if route is not None else ""
        record(request, "refused", outcome=error.code, route=f"{request.method} {where}".strip())


class SignIns:
    """Tells the first use of a token at this gateway, of those that it remembers."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def note(self, request: web.Request, token: str) -> None:
        """`token` was good; whose it is, the request has."""
        digest = hashlib.sha256(token.encode()).digest()[:16]
        if digest in self._seen:
            self._seen.move_to_end(digest)
            return
        self._seen[digest] = None
        while len(self._seen) > MOST_TOKENS:
            self._seen.popitem(last=False)
        record(request, "sign-in")
