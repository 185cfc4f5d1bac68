"""Handlers of the agent server's routes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from container.egress import blocked_frame
from container.errors import AgentServerError, BadRequest, Busy, Unauthorized
from container.protocol import PROOF_NONCE, RUN_ID, VERSION, Close, FrameType, decode, encode, server_proof
from container.web.app_keys import AGENT, CONNECTIONS, OCCUPANT, RELAY, RUNS, SETTINGS, SNAPSHOTS, TERMINALS
from container.web.masked_frames import MaskedWebSocketResponse
from container.web.middleware import has_token
from container.web.outgoing import Outgoing
from container.web.readers import Reader
from container.web.relay import MAX_MESSAGE_BYTES
from container.workspace import files
from container.workspace.snapshot import idle_asked

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 60.0
"""WebSocket pings find a peer that vanished without a word; frames of type `ping` are for the reader's own watch."""

CLAIMED_SECONDS: Final = 0.5
"""Behind a claim no agent is started but for a query: of a crowd that claims at once, the last are not to wait for the
agents of the first, whose start takes a hundred times as long as a claim."""

NOTICE_BYTES: Final = 4096
"""Longest frame that the gateway puts into a run."""


async def ping(request: web.Request) -> web.Response:
    """Alive; with the token also whose sandbox this is, and what the gateway wants to know of it."""
    app = request.app
    if not has_token(request):
        return web.json_response({"status": "ok", "version": VERSION})
    runs, connections = app[RUNS], app[CONNECTIONS]
    quiet = 0.0 if app[TERMINALS].is_busy else runs.jobs.quiet_seconds
    return web.json_response(
        {
            "status": "ok",
            "version": VERSION,
            "session": app[OCCUPANT].session,
            "agent": app[AGENT].state,
            "activeRun": runs.active.id if runs.active else None,
            "connections": len(connections.open),
            "idleSeconds": round(idle_seconds(app), 1),
            "lostReason": app[OCCUPANT].lost_reason,
            "fresh": await app[SNAPSHOTS].is_fresh(),
            **({} if quiet is None else {"jobsQuietSeconds": round(quiet, 1)}),
        }
    )


async def prove(request: web.Request) -> web.Response:
    """That this server knows its token, before anybody sends that: see `server_proof`."""
    nonce = request.query.get("nonce", "")
    if not PROOF_NONCE.fullmatch(nonce):
        raise BadRequest("`nonce` must be 32 hexadecimal digits.", field="nonce")
    if request.transport is None:
        raise BadRequest("The connection has ended.")
    host, port, *_ = request.transport.get_extra_info("sockname")
    return web.Response(text=server_proof(request.app[OCCUPANT].token, nonce, host, port))


async def claim(request: web.Request) -> web.Response:
    """Become a session's, once; the claim is its own authentication. Answers what the gateway wants to know first."""
    app, occupant = request.app, request.app[OCCUPANT]
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Claim":
        raise Unauthorized("A claim is needed: Authorization: Claim <claim>.")
    waited = occupant.waits
    proof = occupant.claim(given)
    if waited:
        app[RUNS].session = occupant.session
        app[AGENT].start(occupant.environment(), after=CLAIMED_SECONDS)
        log.info("claimed by session %s", occupant.session)
    return web.json_response(
        {
            "session": occupant.session,
            "proof": proof,
            "fresh": await app[SNAPSHOTS].is_fresh(),
            "lostReason": app[OCCUPANT].lost_reason,
        }
    )


async def put_pending(request: web.Request) -> web.Response:
    """Leave a query for a run."""
    await request.app[SNAPSHOTS].settled()
    await request.app[RUNS].put(run_id(request), await request.read())
    return web.Response(status=204)


async def read_run(request: web.Request) -> web.StreamResponse:
    """Attach to a run, starting it when it has not started; with `attach=1` its query must be there already."""
    runs, connections, query = request.app[RUNS], request.app[CONNECTIONS], request.query
    run = query.get("run") or None
    if run is not None and not RUN_ID.fullmatch(run):
        raise BadRequest(f"run must match {RUN_ID.pattern}.", field="run")
    after = query.get("after", "0") or "0"
    if not after.isascii() or not after.isdigit() or len(after) > 15:
        raise BadRequest("after must be a frame's number, 0 or more.", field="after")
    may_wait = query.get("attach") != "1"
    if run is None and not may_wait:
        raise BadRequest("run must be given with attach=1.", field="run")
    ws = MaskedWebSocketResponse(compress=False, heartbeat=HEARTBEAT_SECONDS, max_msg_size=65536, timeout=2.0)
    if not ws.can_prepare(request):  # else a run would be started for nobody
        raise BadRequest("This route is a WebSocket: the request must ask for an upgrade.")
    waits = may_wait and not runs.is_known(run)
    attached = None if waits else await runs.attach(run, int(after), may_wait=may_wait)
    await ws.prepare(request)
    with connections.hold(ws):
        async with closed_when_it_fails(ws):
            found = attached or await runs.attach(run, int(after), may_wait=may_wait)
            reader = Reader(
                ws,
                Outgoing(ws, request),
                found,
                int(after),
                batch=query.get("batch") == "1",
                recorder=query.get("recorder") == "1",
            )
            await reader.serve(lambda seq: runs.record(found, seq))
    return ws


@contextlib.asynccontextmanager
async def closed_when_it_fails(ws: web.WebSocketResponse) -> AsyncIterator[None]:
    """Behind the upgrade an error is an `error` frame and a close code: a response would be bytes amid the messages."""
    try:
        yield
    except AgentServerError as error:
        with contextlib.suppress(ConnectionError):  # it went away meanwhile
            await ws.send_frame(encode({"type": FrameType.ERROR, **error.body()}), web.WSMsgType.TEXT)
        await ws.close(code=error.close)
    except Exception:
        log.exception("a WebSocket is closed, as serving it failed")
        await ws.close(code=Close.INTERNAL)


async def stop(request: web.Request) -> web.Response:
    """Ask for a run's end."""
    run = await request.app[RUNS].stop(run_id(request))
    return web.json_response({"state": run.state}, status=202)


async def pause(request: web.Request) -> web.Response:
    """Halt a run's agent."""
    return web.json_response({"state": request.app[RUNS].pause(run_id(request)).state}, status=202)


async def resume(request: web.Request) -> web.Response:
    """Let a halted agent go on."""
    return web.json_response({"state": request.app[RUNS].resume(run_id(request)).state}, status=202)


async def egress_blocked(request: web.Request) -> web.Response:
    """The sandbox asked for a host that it may not reach: the run that is on is told, if any."""
    request.app[RUNS].note_blocked(*blocked_frame(await request.read()))
    return web.Response(status=204)


async def notice(request: web.Request) -> web.Response:
    """Put a frame of the gateway's into a run: why the model is not called for it, or soon will not be."""
    body = await request.read()
    try:
        frame = decode(body) if len(body) <= NOTICE_BYTES else {}
    except ValueError:
        frame = {}
    if frame.get("type") not in (FrameType.BUDGET, FrameType.ERROR):
        raise BadRequest(
            f"The body must be a frame of type budget or error, of at most {NOTICE_BYTES} bytes.",
            field="type",
        )
    request.app[RUNS].notice(run_id(request), encode(frame))
    return web.Response(status=204)


async def retire(request: web.Request) -> web.Response:
    """Take no query from now on, if nothing ran or was connected for `idle` seconds."""
    idle = idle_asked(request)
    seconds = idle_seconds(request.app)
    if request.app[RUNS].has_work() or request.app[CONNECTIONS].is_busy or seconds < idle:
        raise Busy(f"The sandbox has been idle for {seconds:.1f} s, not {idle:.1f}.")
    request.app[RUNS].retired = True
    return web.json_response({"status": "retiring", "idleSeconds": round(seconds, 1)})


async def get_file(request: web.Request) -> web.Response:
    """A file's bytes."""
    settings = request.app[SETTINGS]

    def read() -> bytes:
        with settings.user.acting():
            return files.read(files.resolve(settings.workspace, request.match_info["path"]))

    data = await asyncio.to_thread(read)
    headers = {"X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"}
    return web.Response(body=data, content_type="application/octet-stream", headers=headers)


async def put_file(request: web.Request) -> web.Response:
    """Write a file whole."""
    settings = request.app[SETTINGS]
    with settings.user.acting():
        path = files.resolve(settings.workspace, request.match_info["path"])
    is_new = await files.write(path, request.content.iter_chunked(65536), settings.user)
    return web.Response(status=201 if is_new else 204)


async def relay(request: web.Request) -> web.StreamResponse:
    """Join the session's relay; `inner=1` for the agent's own helpers, which do not keep the sandbox awake."""
    ws = MaskedWebSocketResponse(
        compress=False, heartbeat=HEARTBEAT_SECONDS, max_msg_size=MAX_MESSAGE_BYTES, timeout=2.0
    )
    await ws.prepare(request)
    with request.app[CONNECTIONS].hold(ws, inner=request.query.get("inner") == "1"):
        async with closed_when_it_fails(ws):
            await request.app[RELAY].serve(ws)
    return ws


async def ask_later(_request: web.Request) -> None:
    """For a body that its handler asks for with `100 Continue`, once it is known to be wanted."""


def run_id(request: web.Request) -> str:
    """The run's id in the path. Raises BadRequest."""
    run = request.match_info["run"]
    if not RUN_ID.fullmatch(run):
        raise BadRequest(f"run must match {RUN_ID.pattern}.", field="run")
    return run


def idle_seconds(app: web.Application) -> float:
    """How long nothing ran, waited or was connected."""
    connections = app[CONNECTIONS]
    if app[RUNS].has_work() or connections.is_busy:
        connections.busy_at = time.monotonic()
    return time.monotonic() - connections.busy_at
