"""`POST /api/sdk/ticket`: a one-use stand-in for a token, fit for a WebSocket's URL."""

from __future__ import annotations

from aiohttp import web

from gateway.web.request.app_keys import AUTH, RUNS, SETTINGS
from gateway.web.request.bodies import json_response, read_json
from gateway.web.request.owned import owned_session


async def issue(request: web.Request) -> web.Response:
    """`{sessionId?}` → `{ticket, expiresIn}`, seconds. With a session the ticket fits that session alone."""
    auth = request.app[AUTH]
    caller = await auth.caller(request)
    body = await read_json(request)
    session = None
    if body.get("sessionId") is not None:
        session = (await owned_session(request.app, caller.user, body["sessionId"])).id
    await request.app[RUNS].quotas.ticket(caller.user)
    ticket = await auth.issue_ticket(caller, session)
    return json_response({"ticket": ticket, "expiresIn": int(request.app[SETTINGS].ticket_seconds)})
