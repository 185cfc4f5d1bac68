"""Terminals of a session: the routes that open, list and end them, and the WebSocket that reads and types."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from aiohttp import web

from container.protocol import Close
from gateway import errors
from gateway.fields import identifier, text, whole
from gateway.sandboxes.drivers import SandboxState
from gateway.web.request import audited
from gateway.web.request.app_keys import AUTH, RUNS
from gateway.web.request.audited import refused
from gateway.web.request.bodies import json_response, read_json
from gateway.web.request.owned import owned_session
from gateway.web.streams.upgrade import Upgraded
from gateway.web.terminals.judged import MOST_CELLS, MOST_CURSOR, terminal_json, terminals_json
from gateway.web.terminals.leg import TerminalLeg, terminal_socket

if TYPE_CHECKING:
    from gateway.model import Session
    from gateway.runs.service import RunService
    from gateway.sandboxes.drivers import Sandbox

log = logging.getLogger(__name__)

COLS, ROWS = 80, 24
MAX_CWD_CHARS: Final = 4096


async def create(request: web.Request) -> web.Response:
    """`POST /api/sessions/{session}/terminals`: the sandbox is woken, as by a prompt."""
    session = await _asked(request)
    body = await read_json(request)
    asked = {
        "cols": whole(body, "cols", default=COLS, least=1, most=MOST_CELLS),
        "rows": whole(body, "rows", default=ROWS, least=1, most=MOST_CELLS),
        "cwd": text(body, "cwd", limit=MAX_CWD_CHARS),
        "id": identifier(body, "id") or None,
    }
    runs = request.app[RUNS]
    if runs.draining:
        raise errors.Draining("This gateway is shutting down; ask again.")
    runs.refuse_new()
    await runs.places.claim(session)
    sandbox = await runs.sandbox.ask(session.id)
    told = terminal_json(await runs.agent.terminals("POST", sandbox, body=asked))
    await runs.uses.note(session.id)
    audited.record(request, "terminal-open", session=session.id)
    return json_response(told, status=201)


async def listing(request: web.Request) -> web.Response:
    """`GET /api/sessions/{session}/terminals`: nothing is woken, for with its sandbox they have all ended."""
    session = await _asked(request)
    runs = request.app[RUNS]
    try:
        found = terminals_json(await runs.agent.terminals("GET", await _running(runs, session)))
    except errors.TerminalNotFound:
        found = []
    return json_response({"terminals": found})


async def delete(request: web.Request) -> web.Response:
    """`DELETE /api/sessions/{session}/terminals/{terminal}`: the shell and what runs in it end; again is success."""
    session = await _asked(request)
    name = identifier(request.match_info, "terminal", required=True)
    runs = request.app[RUNS]
    try:
        await runs.agent.terminals("DELETE", await _running(runs, session), name)
    except errors.TerminalNotFound:
        return web.Response(status=204)
    audited.record(request, "terminal-close", session=session.id)
    return web.Response(status=204)


async def attach(request: web.Request) -> web.StreamResponse:
    """GET /api/sdk/terminal: read a terminal behind a cursor, and type. Nothing is woken: a page that is left open
    would keep its sandbox for ever."""
    caller, protocol = await request.app[AUTH].websocket_caller(request)
    session = await owned_session(request.app, caller.user, request.query.get("sessionId"))
    name = identifier(request.query, "terminal", required=True)
    query = {"cursor": str(whole(request.query, "cursor", default=0, least=0, most=MOST_CURSOR))}
    if client := identifier(request.query, "client"):
        query |= {"client": client, "acks": "1" if request.query.get("acks") == "1" else "0"}
    runs = request.app[RUNS]
    socket = terminal_socket(session.id, runs.pace.hollow)
    response = Upgraded(protocol, socket)
    await response.prepare(request)
    leg = TerminalLeg(runs, socket, session.id, caller.until)
    try:
        await leg.serve(await runs.agent.terminal(await _running(runs, session), name, query))
    except errors.VaporForgeError as error:
        refused(request, error)
        await leg.fail(error)
    except ConnectionError:
        pass
    except Exception:
        log.exception("session %s: a terminal's connection failed", session.id)
        await leg.fail(errors.VaporForgeError("Something failed here; the gateway's log has the details."))
    await socket.close(Close.TRY_AGAIN)
    return response


async def _asked(request: web.Request) -> Session:
    user = await request.app[AUTH].user(request)
    return await owned_session(request.app, user, request.match_info["session"])


async def _running(runs: RunService, session: Session) -> Sandbox:
    """The session's sandbox, if it runs. Raises `TerminalNotFound`."""
    sandbox = await runs.driver.status(session.id)
    if sandbox.state is not SandboxState.RUNNING:
        raise errors.TerminalNotFound(
            "The session's sandbox does not run, and its terminals have ended with it.", field="terminal"
        )
    return sandbox
