"""Wires the gateway's application: what it holds, in what order that opens and closes, and its routes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from gateway.audit.ledger import Audit
from gateway.broker.git.hosts import git_hosts_of
from gateway.config import Settings
from gateway.egress.policy import policy_of
from gateway.ids import new_id
from gateway.quotas.blobs import MeasuredBlobs
from gateway.runs.metrics import Figures, Metrics
from gateway.runs.protection import Protection
from gateway.runs.service import RunService
from gateway.runs.stats import Stats
from gateway.runs.sweeper import sweep_forever
from gateway.sandboxes.agent_client import AgentClient, sandbox_client
from gateway.sandboxes.disk import DiskGauge
from gateway.sandboxes.drivers import Driver, Joins, NamesStarts, Poolable, TellsDisk
from gateway.sandboxes.drivers.audited import audited
from gateway.sandboxes.pool.driver import PooledDriver
from gateway.sandboxes.pool.keeper import Keeper
from gateway.sandboxes.reaper import Reaper
from gateway.sandboxes.run_snapshots import RunSnapshots
from gateway.sandboxes.snapshots import Snapshots
from gateway.sandboxes.waking import WakingDriver
from gateway.store import Store
from gateway.store.blobs import Blobs
from gateway.web import routes
from gateway.web.request import middleware
from gateway.web.request.app_keys import (
    AUDIT,
    AUTH,
    BACKGROUND,
    BLOBS,
    CLIENT,
    DISK,
    DRIVER,
    EGRESS,
    GIT_HOSTS,
    POOL,
    RUNS,
    SEATS,
    SETTINGS,
    SNAPSHOTS,
    STATS,
    STORE,
)
from gateway.web.request.audited import SignIns
from gateway.web.request.auth import Authenticator
from gateway.web.request.bodies import MAX_BODY_BYTES
from gateway.web.request.seats import Seats

MAX_LINE_BYTES: Final = 1_310_720
"""Longest request line: the seed's form has the prompt in the URL, 100,000 characters of up to twelve bytes each
(four bytes of UTF-8, percent-encoded) and what else is in the query."""

MAX_FIELD_BYTES: Final = 16 * 1024
"""Longest header: a token of 8,192 characters fits."""


BACKGROUND_SECONDS: Final = 3.0
"""How long work whose client has left may go on after the last request."""


def build_app(
    settings: Settings, *, store: Store, driver: Driver, blobs: Blobs | None = None
) -> web.Application:
    """The gateway on this store, this driver and this place for snapshots (None: off), which it opens and closes."""
    app = web.Application(middlewares=[middleware.errors], client_max_size=MAX_BODY_BYTES)
    app[SETTINGS] = settings
    app[STORE] = store
    app[BLOBS] = blobs
    app[EGRESS] = policy_of(settings)
    app[GIT_HOSTS] = git_hosts_of(settings)
    app[STATS] = stats = Stats()
    app[AUDIT] = audit = Audit(
        store.audit,
        gateway=new_id(),
        secret=settings.credential_key,
        accepted=settings.credential_key_accepted,
        days=settings.audit_days,
    )
    app[DISK] = DiskGauge(driver) if isinstance(driver, TellsDisk) else None
    if isinstance(driver, NamesStarts):
        driver.names_starts = lambda: time.time() >= store.starts_named_since
    app[DRIVER] = audited(driver, audit)
    app[SEATS] = Seats(settings.user_connections, stats.turned_away)
    app[AUTH] = Authenticator(settings, store, SignIns().note)
    app[BACKGROUND] = set()
    app.cleanup_ctx.extend((_store, _audit, _driver, _client, _pool, _snapshots, _runs, _background))
    app.on_response_prepare.append(middleware.add_headers)
    routes.add_routes(app, settings.base_path)
    return app


async def _store(app: web.Application) -> AsyncIterator[None]:
    try:
        await app[STORE].open()
        yield
    finally:
        await app[STORE].close()


async def _audit(app: web.Application) -> AsyncIterator[None]:
    audit = app[AUDIT]
    writing = asyncio.create_task(audit.write_forever(), name="audit")
    yield
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await audit.close()


async def _driver(app: web.Application) -> AsyncIterator[None]:
    if isinstance(driver := app[DRIVER], Joins):
        await driver.join()
    yield
    await app[DRIVER].close()


async def _client(app: web.Application) -> AsyncIterator[None]:
    async with sandbox_client() as app[CLIENT]:
        yield


async def _pool(app: web.Application) -> AsyncIterator[None]:
    driver, app[POOL] = app[DRIVER], None
    if isinstance(driver, Poolable):
        pooled = PooledDriver(app[SETTINGS], app[STORE], driver)
        app[DRIVER] = pooled
        app[POOL] = Keeper(app[SETTINGS], app[STORE], driver, pooled.members)
    yield


async def _snapshots(app: web.Application) -> AsyncIterator[None]:
    blobs, app[SNAPSHOTS] = app[BLOBS], None
    if blobs is None:
        yield
        return
    settings = app[SETTINGS]
    agent = AgentClient(app[CLIENT], settings.sandbox_secret, accepted=settings.sandbox_secret_accepted)
    # Without volumes a snapshot is a session's only copy: there it is kept, and only new sessions are refused.
    most = settings.stored_mb_per_user * 1024 * 1024 if settings.keeps_files else 0
    measured = MeasuredBlobs(blobs, app[STORE], most_of_user=most)
    app[SNAPSHOTS] = snapshots = Snapshots(settings, measured, agent)
    app[DRIVER] = WakingDriver(app[DRIVER], snapshots)
    yield
    await blobs.close()


async def _runs(app: web.Application) -> AsyncIterator[None]:
    settings, store, driver = app[SETTINGS], app[STORE], app[DRIVER]
    async with RunService(settings, store, driver, app[CLIENT], app[STATS]) as runs:
        app[RUNS] = runs
        idle, background = settings.idle_minutes * 60, settings.background_minutes * 60
        reaper = Reaper(driver, store, runs.agent, app[SNAPSHOTS], idle=idle, background=background)
        runs.beside(sweep_forever(runs), name="sweeper")
        runs.beside(reaper.reap_forever(), name="reaper")
        if (disk := app[DISK]) is not None:
            runs.refuse_new = disk.refuse_new
            runs.beside(disk.look_forever(), name="disk")
        if (keeper := app[POOL]) is not None:
            runs.beside(keeper.keep_forever(), name="pool")
        runs.beside(runs.uses.tell_forever(idle=idle), name="uses")
        snapshots = app[SNAPSHOTS]
        behind = None if snapshots is None or settings.keeps_files else RunSnapshots(driver, store, snapshots)
        if behind is not None:
            runs.when_ended = behind.run_ended
        if settings.metrics == "emf":
            metrics = Metrics(settings.stack, lambda: _figures(app))
            runs.beside(metrics.tell_forever(), name="metrics")
        if settings.ecs_agent_uri and settings.protect_minutes:
            protection = Protection(
                settings.ecs_agent_uri,
                app[CLIENT],
                minutes=settings.protect_minutes,
                busy=lambda: bool(runs.recorders),
                changed=runs.changed,
            )
            runs.beside(protection.keep_forever(), name="task protection")
        yield
        if behind is not None:
            await behind.close()


def _figures(app: web.Application) -> Figures:
    stats, keeper = app[STATS], app[POOL]
    pool = {} if keeper is None else keeper.figures()
    gauge = app[DISK]
    disk = {} if gauge is None else gauge.figures()
    return Figures(
        gauges={
            "OpenConnections": app[SEATS].taken,
            "LiveRuns": len(app[RUNS].recorders),
            # An alarm is rung by a pool that is empty, and not by one that is to be.
            **({"PoolReady": pool["ready"]} if pool.get("size") else {}),
            **({"DiskLow": int(disk["low"]), "DiskOverQuota": disk["overQuota"]} if disk else {}),
        },
        counters={
            "Prompts": stats.came,
            "RunsLost": stats.lost,
            "Takeovers": stats.takeovers,
            "StoreThrottles": app[STORE].throttles,
            "TurnedAway": stats.turned_away.total(),
            "AuditLost": app[AUDIT].lost,
            **({"PoolClaims": pool["claimed"], "PoolMisses": pool["missed"]} if pool else {}),
        },
    )


async def _background(app: web.Application) -> AsyncIterator[None]:
    yield
    work = app[BACKGROUND]
    if work:
        await asyncio.wait(work, timeout=BACKGROUND_SECONDS)
