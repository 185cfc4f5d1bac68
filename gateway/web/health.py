"""What monitors ask: version, alive, ready."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from aiohttp import web

from container.protocol import VERSION
from gateway.errors import Draining, StoreUnavailable, VaporForgeError
from gateway.ids import instance_of
from gateway.web.request.app_keys import AUDIT, DISK, POOL, RUNS, SETTINGS, STATS, STORE
from gateway.web.request.bodies import json_response
from gateway.web.request.middleware import error_response

logger = logging.getLogger(__name__)

PING_SECONDS: Final = 2.0
"""How long the store may take to answer before this gateway counts as not ready."""


async def version(_request: web.Request) -> web.Response:
    """`GET /api/version`"""
    return json_response({"version": VERSION})


async def alive(request: web.Request) -> web.Response:
    """`GET /api/health`: this process serves, what became of the prompts that it received, what it turned away, what it
    recorded in the audit, and the pool, the sandboxes' egress and the disk where there are such."""
    app = request.app
    stats, audit = app[STATS], app[AUDIT]
    told: dict[str, Any] = {
        "prompts": stats.prompts(),
        "turnedAway": {str(why): count for why, count in stats.turned_away.items()},
        "audit": {"recorded": audit.recorded, "waiting": audit.waiting, "lost": audit.lost},
    }
    if app[SETTINGS].egress != "none":
        told["egress"] = {why: stats.egress[why] for why in ("opened", "blocked", "turnedAway")}
    for name, part in (("pool", app[POOL]), ("disk", app[DISK])):
        if part is not None and (figures := part.figures()):
            told[name] = figures
    return json_response({"status": "ok", "version": VERSION, **told})


async def ready(request: web.Request) -> web.Response:
    """`GET /api/ready`: 200 when new requests may be sent here, with the deployment that this gateway is of; 503 while
    draining or when the store is away."""
    if request.app[RUNS].draining:
        return error_response(Draining("This gateway is shutting down; ask again and another one answers"))
    try:
        async with asyncio.timeout(PING_SECONDS):
            await request.app[STORE].ping()
    except TimeoutError:
        logger.warning("not ready: the store did not answer within %s s", PING_SECONDS)
        return error_response(
            StoreUnavailable("The store does not answer; it is asked again at the next check")
        )
    except VaporForgeError as error:
        logger.warning("not ready: %s", error)
        return error_response(error)
    instance = instance_of(request.app[SETTINGS].sandbox_secret)
    return json_response({"status": "ready", "version": VERSION, "instance": instance})
