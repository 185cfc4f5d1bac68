"""Typed keys of what the application holds, so that handlers find it and type checkers know it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import ClientSession, web

from gateway.config import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.audit.ledger import Audit
    from gateway.broker.git.hosts import GitHost
    from gateway.egress.policy import Policy
    from gateway.runs.service import RunService
    from gateway.runs.stats import Stats
    from gateway.sandboxes.disk import DiskGauge
    from gateway.sandboxes.drivers import Driver
    from gateway.sandboxes.pool.keeper import Keeper
    from gateway.sandboxes.snapshots import Snapshots
    from gateway.store import Store
    from gateway.store.blobs import Blobs
    from gateway.web.request.auth import Authenticator
    from gateway.web.request.seats import Seats

SETTINGS = web.AppKey("settings", Settings)
STORE: web.AppKey[Store] = web.AppKey("store")
DRIVER: web.AppKey[Driver] = web.AppKey("driver")
POOL: web.AppKey[Keeper | None] = web.AppKey("pool")
"""None where the driver's sandboxes cannot be pooled."""
DISK: web.AppKey[DiskGauge | None] = web.AppKey("disk")
"""None where the driver's sandboxes share no disk."""
CLIENT = web.AppKey("client", ClientSession)
AUTH: web.AppKey[Authenticator] = web.AppKey("auth")
BLOBS: web.AppKey[Blobs | None] = web.AppKey("blobs")
SNAPSHOTS: web.AppKey[Snapshots | None] = web.AppKey("snapshots")
"""None when they are off."""
RUNS: web.AppKey[RunService] = web.AppKey("runs")
BACKGROUND: web.AppKey[set[asyncio.Task[None]]] = web.AppKey("background")
"""Work that goes on when the client who asked for it has left."""
SEATS: web.AppKey[Seats] = web.AppKey("seats")
AUDIT: web.AppKey[Audit] = web.AppKey("audit")
EGRESS: web.AppKey[Policy] = web.AppKey("egress")
GIT_HOSTS: web.AppKey[Mapping[str, GitHost]] = web.AppKey("git_hosts")
STATS: web.AppKey[Stats] = web.AppKey("stats")
