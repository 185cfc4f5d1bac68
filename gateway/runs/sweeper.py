"""The sweeper: takes over runs whose lease ran out, whoever held it; every gateway has one."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING

from gateway import errors

if TYPE_CHECKING:
    from gateway.model import Run
    from gateway.runs.service import RunService

BATCH = 25
"""Runs that are taken over side by side; while a look finds so many the next one follows at once."""

log = logging.getLogger(__name__)


async def sweep_forever(runs: RunService) -> None:
    """Sweep five times in a lease's time, at uneven moments, so that gateways do not race for the same runs."""
    while not runs.draining:
        try:
            while await sweep(runs) >= BATCH:
                log.info("many runs have no lease: sweeping again")
        except errors.StoreUnavailable as error:
            log.warning("the sweep waits for the store: %s", error)
        except Exception:
            log.exception("the sweep failed; it goes on")
        await asyncio.sleep(runs.settings.lease_seconds / 5 * random.uniform(0.7, 1.3))


async def sweep(runs: RunService) -> int:
    """One look: how many runs were taken over."""
    expired = await runs.store.expired_runs(now=time.time(), limit=BATCH)
    return sum(await asyncio.gather(*(_take_over(runs, run) for run in expired)))


async def _take_over(runs: RunService, run: Run) -> bool:
    if run.id in runs.recorders or runs.draining:
        return False
    lease = await runs.store.take_lease(
        run, gateway=runs.gateway, lease_seconds=runs.settings.lease_seconds, now=time.time()
    )
    if lease is None:
        return False
    log.info("session %s run %s: taken over after %d", lease.session, lease.id, lease.recorded)
    runs.stats.takeovers += 1
    await runs.drive(lease)
    return True
