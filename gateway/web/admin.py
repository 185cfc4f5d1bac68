"""`/api/admin/audit`: what was done by whom, for those whom the stack names as its admins."""

from __future__ import annotations

import re
import time
from dataclasses import asdict
from typing import Any, Final

from aiohttp import hdrs, web

from container.protocol import encode
from gateway.audit.chain import Block
from gateway.audit.events import day_of
from gateway.errors import BadRequest
from gateway.fields import whole
from gateway.web.request import audited
from gateway.web.request.app_keys import AUDIT, STORE
from gateway.web.request.bodies import json_response
from gateway.web.sessions import cursor_of

DAY: Final = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])", re.ASCII)

LIMIT, MOST = 100, 500
"""Blocks of a page, by default and at most; one has up to 200 events."""


async def audit(request: web.Request) -> web.StreamResponse:
    """`GET /api/admin/audit?day&limit&cursor`: a day's blocks (today's) in their order, and the newest block of all;
    `format=jsonl`: the whole day, a block a line."""
    day = request.query.get("day") or day_of(time.time())
    if not DAY.fullmatch(day):
        raise BadRequest("day must be a day such as 2026-11-30", field="day")
    how = request.query.get("format") or "json"
    if how not in ("json", "jsonl"):
        raise BadRequest("format must be json or jsonl", field="format")
    cursor = cursor_of(request)
    if not cursor:
        audited.record(request, "audit-read", read=day)
    if how == "jsonl":
        return await _lines(request, day)
    limit = whole(request.query, "limit", default=LIMIT, least=1, most=MOST)
    rows = request.app[STORE].audit
    head = await rows.head()
    blocks, following = await rows.page(day, limit=limit, cursor=cursor, now=time.time())
    told = [_told(request, block) for block in blocks]
    return json_response({"day": day, "blocks": told, "cursor": following, "head": asdict(head)})


async def _lines(request: web.Request, day: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: "application/x-ndjson"})
    rows, cursor, begun = request.app[STORE].audit, None, False
    while not begun or cursor:
        blocks, cursor = await rows.page(day, limit=LIMIT, cursor=cursor, now=time.time())
        if not begun:
            await response.prepare(request)
            begun = True
        for block in blocks:
            await response.write(encode(_told(request, block)) + b"\n")
    await response.write_eof()
    return response


def _told(request: web.Request, block: Block) -> dict[str, Any]:
    """A block, and whether its seal is one of this stack's."""
    return {**block.json(), "sealed": request.app[AUDIT].has_sealed(block)}
