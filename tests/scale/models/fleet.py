"""How many gateways a stack needs for calls of the table, frames and connections, also without a zone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from tests.scale.models.units import costs, load
from tests.scale.plan import Plan

FRAME_CPU: Final = 9e-6
"""Seconds of processor a frame, its recording included: docs/performance.md, A live run."""

TUNNEL_CPU: Final = 5.1e-6
"""And for a reader that is not where the recorder is, and the model's answer through the broker, at 100 connections."""

REAP_SECONDS: Final = 60.0
SWEEPS_PER_LEASE: Final = 5


@dataclass(frozen=True, slots=True)
class Fleet:
    """`gateways`: as many as keep to the headroom and bear the loss of a zone; infinite where no number does. `why`:
    what asks for so many. `own`: calls a second that each makes for the stack, however many there are."""

    gateways: float
    why: str
    own: float


def own_calls(plan: Plan) -> float:
    """Calls of the table a second that every gateway makes by itself: it sweeps, and looks at every sandbox, unless
    that is shared."""
    prices = costs(plan)
    sweeps = plan.shards * SWEEPS_PER_LEASE / plan.lease
    return sweeps + (0 if plan.shared_looks else prices["reaping"].calls * plan.sessions / REAP_SECONDS)


def shared_calls(plan: Plan) -> float:
    """Calls of the table a second that all gateways make together."""
    looks = costs(plan)["reaping"].calls * plan.sessions / REAP_SECONDS if plan.shared_looks else 0.0
    return load(plan).calls + looks


def fleet(plan: Plan) -> Fleet:
    """The gateways of a stack with the plan's sessions."""
    own = own_calls(plan)
    free = plan.store_calls * plan.gateway_cpus * plan.headroom - own
    frames = plan.runs * plan.streaming * plan.frames_per_second
    needs = {
        "calls of the table": shared_calls(plan) / free if free > 0 else math.inf,
        "frames": frames * (FRAME_CPU + 2 * TUNNEL_CPU) / (plan.gateway_cpus * plan.headroom),
        "connections": (plan.runs + plan.sessions * plan.visible) / (plan.connections * plan.headroom),
    }
    why = max(needs, key=lambda name: needs[name])
    if math.isinf(needs[why]):
        return Fleet(math.inf, why, own)
    # What is left when a zone is gone carries all of it.
    return Fleet(max(2, math.ceil(needs[why] * plan.zones / (plan.zones - 1))), why, own)
