"""Routes of terminals: open, list, close, and a WebSocket that reads one from a cursor and types into it."""

from __future__ import annotations

import json
import secrets
from typing import Any, Final

from aiohttp import web

from container.errors import BadRequest, Retiring
from container.protocol import RUN_ID
from container.runs.query import directory
from container.terminals.reader import MESSAGE_BYTES, TerminalReader, size_of
from container.web.app_keys import CONNECTIONS, RUNS, SETTINGS, SNAPSHOTS, TERMINALS
from container.web.handlers import HEARTBEAT_SECONDS, closed_when_it_fails
from container.web.masked_frames import MaskedWebSocketResponse
from container.web.outgoing import Outgoing

COLS, ROWS = 80, 24
"""Of a terminal whose size nobody says."""

MOST_CURSOR: Final = 2**53
"""Beyond it JavaScript does not count exactly: at 100 MB a second a terminal gets there in three years."""


async def create(request: web.Request) -> web.Response:
    """Open one; with an `id` that there is, that one."""
    settings = request.app[SETTINGS]
    if request.app[RUNS].retired:
        raise Retiring("The sandbox is going away; ask again.")
    await request.app[SNAPSHOTS].settled()
    try:
        given: Any = json.loads(await request.read() or b"{}")
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise BadRequest("The body must be a JSON object.", field="body")
    name = given.get("id")
    if name is not None and not (isinstance(name, str) and RUN_ID.fullmatch(name)):
        raise BadRequest(f"id must match {RUN_ID.pattern}.", field="id")
    size = size_of(given.get("cols", COLS), given.get("rows", ROWS))
    with settings.user.acting():
        cwd = directory(given.get("cwd"), settings.workspace)
    terminal, is_new = await request.app[TERMINALS].open(name, cwd, size)
    return web.json_response(terminal.json(), status=201 if is_new else 200)


async def listing(request: web.Request) -> web.Response:
    """All that there are, ended ones too."""
    return web.json_response({"terminals": request.app[TERMINALS].list()})


async def delete(request: web.Request) -> web.Response:
    """End one, and forget it."""
    await request.app[TERMINALS].close_one(terminal_id(request))
    return web.Response(status=204)


async def attach(request: web.Request) -> web.StreamResponse:
    """Read from `cursor` on, and type. `client`: who it is, so that what it sends again is not typed twice; a
    connection of the same client's takes the place of the one before. `acks=1`: it says what it has."""
    terminal = request.app[TERMINALS].get(terminal_id(request))
    cursor, client = request.query.get("cursor", "0") or "0", request.query.get("client", "")
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 16 or int(cursor) > MOST_CURSOR:
        raise BadRequest("cursor must be a whole number of bytes, 0 or more.", field="cursor")
    if client and not RUN_ID.fullmatch(client):
        raise BadRequest(f"client must match {RUN_ID.pattern}.", field="client")
    ws = MaskedWebSocketResponse(
        compress=False, heartbeat=HEARTBEAT_SECONDS, max_msg_size=MESSAGE_BYTES + 1, timeout=2.0
    )
    if not ws.can_prepare(request):
        raise BadRequest("This route is a WebSocket: the request must ask for an upgrade.")
    await ws.prepare(request)
    connections = request.app[CONNECTIONS]
    with connections.hold(ws, inner=True):  # only who types is a sign of a user
        async with closed_when_it_fails(ws):
            reader = TerminalReader(
                ws,
                terminal,
                client or f"-{secrets.token_hex(8)}",
                int(cursor),
                acks=bool(client) and request.query.get("acks") == "1",
                typed=connections.touch,
                abort=Outgoing(ws, request).abort,
            )
            await reader.serve()
    return ws


def terminal_id(request: web.Request) -> str:
    """The id in the path. Raises BadRequest."""
    name = request.match_info["terminal"]
    if not RUN_ID.fullmatch(name):
        raise BadRequest(f"terminal must match {RUN_ID.pattern}.", field="terminal")
    return name
