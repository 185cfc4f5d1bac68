"""Handlers of /api/sdk: start a run and stream it, attach, stop, pause, resume, replay; and every other WebSocket."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web

from container.protocol import Close
from gateway import errors
from gateway.fields import identifier
from gateway.model import Run, RunState, Session
from gateway.sandboxes.agent_client import RELAY_MESSAGE_LIMIT
from gateway.web.request import audited
from gateway.web.request.app_keys import AUTH, RUNS, SETTINGS
from gateway.web.request.audited import refused
from gateway.web.request.bodies import json_response, read_json
from gateway.web.request.owned import owned_session
from gateway.web.streams.browser_connection import (
    BrowserConnection,
    browser_socket,
    serve_events,
    serve_relay,
)
from gateway.web.streams.upgrade import Upgraded
from gateway.websocket.tunnel import End

log = logging.getLogger(__name__)

MAX_SEQ = 2**53


async def ws(request: web.Request) -> web.StreamResponse:
    """GET /api/sdk/ws: the seed's form (prompt in the URL, saved before the upgrade), `start` first, or attach."""
    began = time.monotonic()
    caller, protocol = await request.app[AUTH].websocket_caller(request)
    session = await owned_session(request.app, caller.user, request.query.get("sessionId"))
    runs = request.app[RUNS]
    authorized = time.monotonic()
    run: Run | None = None
    after = 0
    if request.query.get("run"):
        run, after = await _attachable(request, session, request.query)
    elif "prompt" in request.query:
        run = (await runs.submit(session, caller.user, request.query, caller.author)).run
    else:
        runs.warm(session)
    socket = browser_socket(session.id, runs.pace, request.app[SETTINGS].messages_per_second)
    response = Upgraded(protocol, socket)
    await response.prepare(request)
    batch = request.query.get("batch") == "1"
    leg = BrowserConnection(runs, socket, session.id, caller.until, batch=batch)
    try:
        if run is None:
            frame = await leg.first_frame()
            if frame is None:
                return response
            began = authorized = time.monotonic()
            run = (await runs.submit(session, caller.user, frame, caller.author)).run
        await leg.serve(run, after, _timing(began, authorized))
    except errors.VaporForgeError as error:
        refused(request, error)
        await leg.fail(error)
    except ConnectionError:
        pass
    except Exception:
        log.exception("session %s: a reader's connection failed", session.id)
        await leg.fail(errors.VaporForgeError("Something failed here; the gateway's log has the details."))
    # Where it is not closed yet; and until a last close frame has been read.
    await socket.close(Close.GOING_AWAY)
    return response


async def stream(request: web.Request) -> web.StreamResponse:
    """POST /api/sdk/stream: the same run as server-sent events; `Last-Event-ID` is the cursor."""
    began = time.monotonic()
    caller = await request.app[AUTH].caller(request)
    body = await read_json(request)
    session = await owned_session(request.app, caller.user, body.get("sessionId"))
    authorized = time.monotonic()
    runs = request.app[RUNS]
    cursor = request.headers.get("Last-Event-ID")
    if body.get("run") or cursor:
        run, after = await _attachable(request, session, _event_cursor(body, cursor))
    else:
        run, after = (await runs.submit(session, caller.user, body, caller.author)).run, 0
    timing = _timing(began, authorized)
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: "text/event-stream",
            # A proxy that compresses holds events back until it has enough of them (RFC 9111 section 5.2.2.6).
            hdrs.CACHE_CONTROL: "no-cache, no-store, no-transform",
            "X-Accel-Buffering": "no",
        }
    )
    await response.prepare(request)
    try:
        await serve_events(runs, response, run, after, timing, caller.until)
        await response.write_eof()
    except ConnectionError:
        pass
    return response


async def stop(request: web.Request) -> web.Response:
    """POST /api/sdk/stop: from any tab and any replica; the text so far is kept."""
    user = await request.app[AUTH].user(request)
    body = await read_json(request)
    session, run_id = identifier(body, "sessionId", required=True), identifier(body, "run") or None
    recorder = request.app[RUNS].recorder_of(session, run_id)
    # Who asked for a run that is recorded here owns its session: that is known without the store.
    if recorder is None or recorder.run.owner != user:
        await owned_session(request.app, user, session)
    run = await request.app[RUNS].signals.stop(session, run_id)
    audited.record(request, "run-stop", session=session, run=run.id if run else "")
    return json_response(
        {"success": True, "run": run.id if run else None, "state": run.state if run else None}
    )


async def pause(request: web.Request) -> web.Response:
    """POST /api/sdk/pause: freeze the agent of a running run."""
    session, run_id = await _addressed(request)
    run = await request.app[RUNS].signals.pause(session.id, run_id)
    return json_response({"success": True, "run": run.id})


async def resume(request: web.Request) -> web.Response:
    """POST /api/sdk/resume: let it go on."""
    session, run_id = await _addressed(request)
    run = await request.app[RUNS].signals.pause(session.id, run_id, resume=True)
    return json_response({"success": True, "run": run.id})


async def replay(request: web.Request) -> web.StreamResponse:
    """GET /api/sdk/replay/{session}: the recorded frames of a run behind the cursor, as JSON lines."""
    user = await request.app[AUTH].user(request)
    session = await owned_session(request.app, user, request.match_info["session"])
    run, after = await _attachable(request, session, request.query)
    if after > run.shared:
        raise _ahead(run, after)
    response = web.StreamResponse(
        headers={hdrs.CONTENT_TYPE: "application/x-ndjson", hdrs.CACHE_CONTROL: "no-store"}
    )
    await response.prepare(request)
    async for chunk in request.app[RUNS].replays.read(session.id, run.id, after=after):
        await response.write(chunk)
    await response.write_eof()
    return response


async def relay(request: web.Request) -> web.StreamResponse:
    """Any other WebSocket: a peer of its session's relay (the seed's per-session object)."""
    if not request.query.get("sessionId"):
        raise errors.BadRequest("Missing sessionId", field="sessionId")
    caller, protocol = await request.app[AUTH].websocket_caller(request)
    session = await owned_session(request.app, caller.user, request.query.get("sessionId"))
    name = f"session {session.id}: a browser's end of the relay"
    socket = End(server=True, limit=RELAY_MESSAGE_LIMIT, pace=request.app[RUNS].pace, name=name)
    response = Upgraded(protocol, socket)
    await response.prepare(request)
    try:
        await serve_relay(request.app[RUNS], socket, session, caller.until)
    except errors.VaporForgeError as error:
        refused(request, error)
        await socket.close(error.close, error.code)
    except ConnectionError:
        await socket.close(Close.TRY_AGAIN)
    except Exception:
        log.exception("session %s: a relay's connection failed", session.id)
        await socket.close(Close.INTERNAL, "internal")
    return response


async def _addressed(request: web.Request) -> tuple[Session, str | None]:
    """The session, and the run if any, that a body names; owner only."""
    user = await request.app[AUTH].user(request)
    body = await read_json(request)
    session = await owned_session(request.app, user, body.get("sessionId"))
    return session, identifier(body, "run") or None


async def _attachable(request: web.Request, session: Session, fields: Mapping[str, Any]) -> tuple[Run, int]:
    """The run and cursor that `fields` name. Raises `RunNotFound`, and `CursorAhead` where the run is shorter."""
    run_id = identifier(fields, "run", required=True)
    text = str(fields.get("after") or "0")
    after = int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else -1
    if not 0 <= after <= MAX_SEQ:
        raise errors.BadRequest("after must be the seq of a frame, a whole number from 0", field="after")
    run = await request.app[RUNS].run.ask((session.id, run_id))
    # A pending run may have been read already: the store hears that it runs only after its sandbox does.
    if after > run.shared and (run.state.final or run.state is RunState.QUEUED):
        raise _ahead(run, after)
    return run, after


def _ahead(run: Run, after: int) -> errors.CursorAhead:
    return errors.CursorAhead(
        f"after is {after}, past the {run.shared} frames of run {run.id} that a reader can go on from; "
        "read it again from its start",
        field="after",
    )


def _event_cursor(body: Mapping[str, Any], cursor: str | None) -> dict[str, Any]:
    """`Last-Event-ID: <run>:<seq>`, which wins over the body's own `run` and `after`."""
    if not cursor:
        return {"run": body.get("run"), "after": body.get("after")}
    run, colon, seq = cursor.rpartition(":")
    if not (colon and seq):
        raise errors.BadRequest("Last-Event-ID must be <run>:<seq>", field="Last-Event-ID")
    return {"run": run, "after": seq}


def _timing(began: float, authorized: float) -> dict[str, int]:
    """The fields of the `timing` frame, milliseconds: for authentication, and from then to the run in the store."""
    ends = {"authMs": (began, authorized), "admissionMs": (authorized, time.monotonic())}
    return {name: round((end - start) * 1000) for name, (start, end) in ends.items()}
