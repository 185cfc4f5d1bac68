"""What a session's owner lets its sandbox reach beside what the stack does."""

from __future__ import annotations

from aiohttp import web

from gateway.egress.hosts import BadHost, host_of
from gateway.egress.policy import MOST_ALLOWED
from gateway.errors import BadRequest, Forbidden
from gateway.fields import text
from gateway.web.request.app_keys import AUDIT, AUTH, EGRESS, STORE
from gateway.web.request.bodies import json_response, read_json
from gateway.web.request.clients import client_of
from gateway.web.request.owned import owned_session
from gateway.web.sessions import session_json


async def allow(request: web.Request) -> web.Response:
    """`POST /api/sessions/{session}/egress`: one more host, for this session."""
    user = await request.app[AUTH].user(request)
    session = await owned_session(request.app, user, request.match_info["session"])
    host = _host(text(await read_json(request), "host", limit=255, required=True))
    if not request.app[EGRESS].asks:
        raise Forbidden(
            "What sandboxes reach is decided for all sessions here; ask whoever runs this deployment.",
            field="host",
        )
    allowed = await request.app[STORE].allow_host(session.id, host, most=MOST_ALLOWED)
    _record(request, "egress-allow", user, session.id, host)
    return json_response(session_json(allowed))


async def disallow(request: web.Request) -> web.Response:
    """`DELETE /api/sessions/{session}/egress/{host}`: no more, also where owners may allow none any longer."""
    user = await request.app[AUTH].user(request)
    session = await owned_session(request.app, user, request.match_info["session"])
    host = _host(request.match_info["host"])
    left = await request.app[STORE].disallow_host(session.id, host)
    if host in session.egress_hosts:
        _record(request, "egress-disallow", user, session.id, host)
    return json_response(session_json(left))


def _host(given: str) -> str:
    try:
        return host_of(given)
    except BadHost as error:
        raise BadRequest(f"host is none that can be allowed: {error}", field="host") from None


def _record(request: web.Request, kind: str, user: str, session: str, host: str) -> None:
    request.app[AUDIT].record(kind, who=user, session=session, address=client_of(request), host=host)
