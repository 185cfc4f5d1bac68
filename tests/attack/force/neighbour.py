"""No attack at all: a process that computes as much as an attacker's did, and sends nothing."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from tests.attack.force.limits import bounded

PERIOD_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """`share`: of a core. Attackers that kept more than one busy have more than one neighbour."""

    host: str
    port: int
    seconds: float
    share: float


async def neighbour(order: Neighbour) -> dict[str, Any]:
    """Compute for a share of the time; `cpu`: the seconds that it got."""
    bounded("share", order.share, 1.0)
    until = time.monotonic() + order.seconds
    before = time.process_time()
    while (now := time.monotonic()) < until:
        while time.monotonic() < now + order.share * PERIOD_SECONDS:
            pass
        await asyncio.sleep(max(0.0, now + PERIOD_SECONDS - time.monotonic()))
    return {"cpu": round(time.process_time() - before, 2)}
