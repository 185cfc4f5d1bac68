"""The agent server: its routes, its authentication, and the resources behind them."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

from aiohttp import WSCloseCode, web

from container.agent.agent import Agent
from container.errors import AgentServerError, BadRequest, Busy, PayloadTooLarge, Unauthorized
from container.protocol import RUN_ID, VERSION, Close, FrameType, encode
from container.runs.pending import Pending
from container.runs.query import MAX_QUERY_BYTES, PendingStore
from container.runs.service import Runs
from container.settings import Settings
from container.web.readers import Reader
from container.web.relay import MAX_MESSAGE_BYTES, Relay
from container.workspace import files
from container.workspace.snapshot import Snapshots, idle_asked

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 60.0
"""WebSocket pings find a peer that vanished without a word; frames of type `ping` are for the reader's own watch."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Connections:
    """The open WebSockets that count as somebody being there, and when the last one went."""

    def __init__(self) -> None:
        self.open: set[web.WebSocketResponse] = set()
        self.inner: set[web.WebSocketResponse] = set()
        """Those of the agent's own helpers: closed at the end like all, never a sign of a user."""
        self.busy_at = time.monotonic()

    @contextlib.contextmanager
    def hold(self, ws: web.WebSocketResponse, *, inner: bool = False) -> Iterator[None]:
        """Count `ws` while it is served."""
        group = self.inner if inner else self.open
        group.add(ws)
        try:
            yield
        finally:
            group.discard(ws)
            if not inner:
                self.busy_at = time.monotonic()


SETTINGS: Final = web.AppKey("settings", Settings)
AGENT: Final = web.AppKey("agent", Agent)
RUNS: Final = web.AppKey("runs", Runs)
RELAY: Final = web.AppKey("relay", Relay)
CONNECTIONS: Final = web.AppKey("connections", Connections)
SNAPSHOTS: Final = web.AppKey("snapshots", Snapshots)


def build_app(settings: Settings) -> web.Application:
    """The agent server as an aiohttp application. Raises PermissionError when the pending directory is not ours."""
    app = web.Application(middlewares=[errors_as_json, bearer_only], client_max_size=MAX_QUERY_BYTES)
    app[SETTINGS] = settings
    app[AGENT] = agent = Agent(settings)
    pending = Pending(PendingStore(settings.pending_dir, settings.seed_pending))
    app[RUNS] = Runs(settings, agent, pending)
    app[RELAY] = Relay()
    app[CONNECTIONS] = Connections()
    app[SNAPSHOTS] = snapshots = Snapshots(settings, agent, app[RUNS], lambda: idle_seconds(app))
    app.add_routes(
        [
            web.get("/ping", ping),
            web.put("/pending/{run}", put_pending),
            web.get("/ws", read_run),
            web.post("/runs/{run}/stop", stop),
            web.post("/runs/{run}/pause", pause),
            web.post("/runs/{run}/resume", resume),
            web.post("/retire", retire),
            web.get("/files/{path:.*}", get_file),
            web.put("/files/{path:.*}", put_file),
            web.get("/relay", relay),
            web.get("/snapshot", snapshots.download),
            web.put("/snapshot", snapshots.upload, expect_handler=ask_later),
        ]
    )
    app.cleanup_ctx.append(agent_and_runs)
    app.on_shutdown.append(close_connections)
    return app


async def agent_and_runs(app: web.Application) -> AsyncIterator[None]:
    """The agent is started with the server, beside the finding of old logs."""
    await app[SNAPSHOTS].start()
    app[AGENT].start()
    await app[RUNS].start()
    yield
    await app[RUNS].close()
    await app[AGENT].close()


async def close_connections(app: web.Application) -> None:
    """End the active run, let its readers see that, then close what is open with 1001."""
    await app[AGENT].keep_none()
    await app[RUNS].close()
    connections = app[CONNECTIONS]
    async with asyncio.TaskGroup() as closing:
        for ws in connections.open | connections.inner:
            closing.create_task(ws.close(code=WSCloseCode.GOING_AWAY, message=b"the sandbox is going away"))


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error is `{error, code, field?}` with its status."""
    try:
        return await handler(request)
    except AgentServerError as error:
        if error.status >= 500:
            log.warning("%s %s: %s", request.method, request.path, error.message)
        return web.json_response(error.body(), status=error.status)
    except web.HTTPRequestEntityTooLarge:
        too_large = PayloadTooLarge(f"The body may have {MAX_QUERY_BYTES:,} bytes.", field="body")
        return web.json_response(too_large.body(), status=too_large.status)
    except web.HTTPException as error:
        code = "not-found" if error.status == 404 else "bad-request"
        body = {"error": f"{request.method} {request.path}: {error.reason}.", "code": code}
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return web.json_response(body, status=error.status, headers=headers)
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return web.json_response({"error": "The agent server failed.", "code": "internal"}, status=500)


@web.middleware
async def bearer_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Everything but `/ping` needs this sandbox's token; nothing else is looked at before."""
    if request.path != "/ping" and not has_token(request):
        raise Unauthorized("The sandbox's token is needed: Authorization: Bearer <sandbox token>.")
    return await handler(request)


def has_token(request: web.Request) -> bool:
    """Whether the request carries this sandbox's token."""
    expected = f"Bearer {request.app[SETTINGS].token}".encode()
    given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
    return hmac.compare_digest(given, expected)


async def ping(request: web.Request) -> web.Response:
    """Alive; with the token also whose sandbox this is, and what the gateway wants to know of it."""
    app = request.app
    if not has_token(request):
        return web.json_response({"status": "ok", "version": VERSION})
    runs, connections = app[RUNS], app[CONNECTIONS]
    return web.json_response(
        {
            "status": "ok",
            "version": VERSION,
            "session": app[SETTINGS].session,
            "agent": app[AGENT].state,
            "activeRun": runs.active.id if runs.active else None,
            "connections": len(connections.open),
            "idleSeconds": round(idle_seconds(app), 1),
            "lostReason": app[SETTINGS].lost_reason,
            "fresh": await app[SNAPSHOTS].is_fresh(),
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
    ws = web.WebSocketResponse(compress=False, heartbeat=HEARTBEAT_SECONDS, max_msg_size=65536, timeout=2.0)
    if not ws.can_prepare(request):  # else a run would be started for nobody
        raise BadRequest("This route is a WebSocket: the request must ask for an upgrade.")
    waits = may_wait and not runs.is_known(run)
    attached = None if waits else await runs.attach(run, int(after), may_wait=may_wait)
    await ws.prepare(request)
    with connections.hold(ws):
        async with closed_when_it_fails(ws):
            found = attached or await runs.attach(run, int(after), may_wait=may_wait)
            assert request.transport is not None  # noqa: S101 - it is there while a request is handled
            reader = Reader(
                ws,
                found,
                int(after),
                batch=query.get("batch") == "1",
                recorder=query.get("recorder") == "1",
                abort=request.transport.abort,
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


async def retire(request: web.Request) -> web.Response:
    """Take no query from now on, if nothing ran or was connected for `idle` seconds."""
    idle = idle_asked(request)
    seconds = idle_seconds(request.app)
    if request.app[RUNS].has_work() or request.app[CONNECTIONS].open or seconds < idle:
        raise Busy(f"The sandbox has been idle for {seconds:.1f} s, not {idle:.1f}.")
    request.app[RUNS].retired = True
    return web.json_response({"status": "retiring", "idleSeconds": round(seconds, 1)})


async def get_file(request: web.Request) -> web.Response:
    """A file's bytes."""
    path = files.resolve(request.app[SETTINGS].workspace, request.match_info["path"])
    data = await asyncio.to_thread(files.read, path)
    headers = {"X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"}
    return web.Response(body=data, content_type="application/octet-stream", headers=headers)


async def put_file(request: web.Request) -> web.Response:
    """Write a file whole."""
    path = files.resolve(request.app[SETTINGS].workspace, request.match_info["path"])
    is_new = await files.write(path, request.content.iter_chunked(65536))
    return web.Response(status=201 if is_new else 204)


async def relay(request: web.Request) -> web.StreamResponse:
    """Join the session's relay; `inner=1` for the agent's own helpers, which do not keep the sandbox awake."""
    ws = web.WebSocketResponse(
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
    if app[RUNS].has_work() or connections.open:
        connections.busy_at = time.monotonic()
    return time.monotonic() - connections.busy_at
