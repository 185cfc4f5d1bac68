"""Wires the agent server: its routes, and the resources behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import WSCloseCode, web

from container.agent.agent import Agent
from container.occupant import Occupant
from container.runs.pending import Pending
from container.runs.query import MAX_QUERY_BYTES, PendingStore
from container.runs.service import RunService
from container.settings import Settings
from container.terminals.service import Terminals
from container.web import files, handlers, terminals
from container.web.app_keys import AGENT, CONNECTIONS, OCCUPANT, RELAY, RUNS, SETTINGS, SNAPSHOTS, TERMINALS
from container.web.connections import Connections
from container.web.middleware import bearer_only, errors_as_json
from container.web.relay import Relay
from container.workspace.snapshot import Snapshots


def build_app(settings: Settings) -> web.Application:
    """The agent server as an aiohttp application. Raises PermissionError when the pending directory is not ours."""
    app = web.Application(middlewares=[errors_as_json, bearer_only], client_max_size=MAX_QUERY_BYTES)
    app[SETTINGS] = settings
    app[OCCUPANT] = Occupant(settings.session, settings.token, settings.lost_reason, settings.start)
    app[AGENT] = agent = Agent(settings)
    pending = Pending(PendingStore(settings.pending_dir, settings.seed_pending, settings.user))
    app[RUNS] = RunService(settings, agent, pending)
    app[RELAY] = Relay()
    app[CONNECTIONS] = Connections()
    app[TERMINALS] = Terminals(settings, agent.spared, lambda: agent.own_env)
    app[SNAPSHOTS] = snapshots = Snapshots(settings, agent, app[RUNS], lambda: handlers.idle_seconds(app))
    app.add_routes(
        [
            web.get("/ping", handlers.ping),
            web.get("/proof", handlers.prove),
            web.post("/claim", handlers.claim),
            web.put("/pending/{run}", handlers.put_pending),
            web.get("/ws", handlers.read_run),
            web.post("/runs/{run}/stop", handlers.stop),
            web.post("/runs/{run}/pause", handlers.pause),
            web.post("/runs/{run}/resume", handlers.resume),
            web.post("/egress-blocked", handlers.egress_blocked),
            web.post("/runs/{run}/notice", handlers.notice),
            web.post("/retire", handlers.retire),
            web.get("/files/{path:.*}", handlers.get_file),
            web.put("/files/{path:.*}", handlers.put_file),
            web.get("/relay", handlers.relay),
            web.post("/terminals", terminals.create),
            web.get("/terminals", terminals.listing),
            web.delete("/terminals/{terminal}", terminals.delete),
            web.get("/terminals/{terminal}", terminals.attach),
            web.get("/snapshot", snapshots.download),
            web.put("/snapshot", snapshots.upload, expect_handler=handlers.ask_later),
            *files.routes(),
        ]
    )
    app.cleanup_ctx.append(agent_and_runs)
    app.on_shutdown.append(close_connections)
    return app


async def agent_and_runs(app: web.Application) -> AsyncIterator[None]:
    """The agent is started with the server, beside the finding of old logs; in the pool it waits for the claim, which
    brings the key that it is to have."""
    await app[SNAPSHOTS].start()
    if not app[OCCUPANT].waits:
        app[AGENT].start(app[OCCUPANT].environment())
    await app[RUNS].start()
    yield
    await app[RUNS].close()
    await asyncio.gather(app[AGENT].close(), app[TERMINALS].close())


async def close_connections(app: web.Application) -> None:
    """End the active run, let its readers see that, then close what is open with 1001."""
    await app[AGENT].keep_none()
    await app[RUNS].close()
    connections = app[CONNECTIONS]
    async with asyncio.TaskGroup() as closing:
        for ws in connections.open | connections.inner:
            closing.create_task(ws.close(code=WSCloseCode.GOING_AWAY, message=b"the sandbox is going away"))
