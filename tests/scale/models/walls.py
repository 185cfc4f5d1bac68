"""What ends where: each limit, what a plan asks of it, and the number of sessions at which it is reached."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from tests.scale.models.fleet import REAP_SECONDS, fleet, own_calls, shared_calls
from tests.scale.models.pool import RUN_TASK_RATE
from tests.scale.models.units import costs, load, per_second
from tests.scale.plan import SETTINGS, Plan

PARTITION_WRITES: Final = 1_000
PARTITION_READS: Final = 3_000
"""Units a second of one partition: DynamoDB Developer Guide, Best practices for partition keys; a law of nature."""

TABLE_UNITS: Final = 40_000
"""Read, and write, units a second of an on-demand table, and of its index: default quota, adjustable."""

ECS_READS: Final = 20.0
"""DescribeTasks and ListTasks a second, sustained: request throttling for the Amazon ECS API; adjustable."""

ADDRESSES: Final = 65_536 - 3 * 5
"""Of a /16, less five of each of three subnets: Amazon VPC User Guide. A task of Fargate takes one."""

MOST: Final = 10_000_000
"""Sessions at which looking ends."""

START_SECONDS: Final = SETTINGS.start_seconds + 15
"""A place that is held for a sandbox that starts: `MARGIN_SECONDS` of gateway/sandboxes/places.py on top."""

STARTING_BYTES: Final = 26 + 3 + 30 + 16
"""Of an entry in the item of those: session, owner, until."""


@dataclass(frozen=True, slots=True)
class Wall:
    """`load(plan)` in `unit`, which may come to `limit`. `kind`: setting, code, quota (adjustable) or law."""

    name: str
    kind: str
    limit: float
    unit: str
    load: Callable[[Plan], float]
    remedy: str

    def reached(self, plan: Plan) -> float:
        """The most sessions that keep to the limit, all else being the plan's; infinite beyond `MOST`."""
        if self.load(replace(plan, sessions=MOST)) <= self.limit:
            return math.inf
        low, high = 0, MOST
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (
                (middle, high) if self.load(replace(plan, sessions=middle)) <= self.limit else (low, middle)
            )
        return low


def _shard(plan: Plan) -> float:
    return load(plan).index / plan.shards


def _places(plan: Plan) -> float:
    """The item of starting sandboxes is written whole at each start, by its version."""
    if plan.counted_places:
        return 0.0
    return math.ceil(max(1, plan.starts * START_SECONDS) * STARTING_BYTES / 1024) * plan.starts


def _reads(plan: Plan) -> float:
    """Of the table, the gateways' own looks at the sandboxes included, as far as each can make them."""
    number = fleet(plan).gateways
    looks = min(own_calls(plan), plan.store_calls * plan.gateway_cpus)
    alone = looks * number if math.isfinite(number) else math.inf
    return load(plan).read + shared_calls(plan) - load(plan).calls + alone


def _listed(plan: Plan) -> float:
    """Sandboxes that are listed in a second, to find a place for one that starts."""
    return 0.0 if plan.counted_places else plan.starts * plan.sessions


def _describes(plan: Plan) -> float:
    """Each gateway's reaper asks the driver for the status of every running sandbox."""
    if plan.shared_looks:
        return plan.sessions / 100 / REAP_SECONDS
    return fleet(plan).gateways * plan.sessions / REAP_SECONDS


def walls(burst: float = 1.0) -> tuple[Wall, ...]:
    """All that is known. `burst`: how far the worst second of a partition of the index is above its mean."""
    return (
        Wall("sandboxes of a stack", "setting", SETTINGS.sandboxes, "sandboxes", lambda p: p.sessions, "`sandboxes`"),
        Wall("status of each sandbox, by each gateway", "code", ECS_READS, "DescribeTasks/s", _describes,
             "one look for all, from the list; one gateway at a time"),
        Wall("gateways of a stack", "setting", 16, "gateways", lambda p: fleet(p).gateways, "`gatewayReplicasMost`"),
        Wall("the list of sandboxes, at each start", "code", ECS_READS, "ListTasks/s",
             lambda p: _listed(p) / 100, "`sandboxes` and `sandboxesPerUser` 0; a counter a user"),
        Wall("METAs of all sandboxes, at each start", "code", TABLE_UNITS, "read units/s",
             _listed, "the same"),
        Wall("item of starting sandboxes", "code", PARTITION_WRITES, "write units/s", _places, "the same"),
        Wall("the reaper's own calls of the table", "code", 1.0, "of a gateway's calls",
             lambda p: own_calls(p) / (p.store_calls * p.gateway_cpus), "cells; a share of the sandboxes a gateway"),
        Wall("a partition of the index", "code", PARTITION_WRITES, "write units/s", lambda p: _shard(p) * burst,
             "more `OPEN_SHARDS`, or cells"),
        Wall("the table, writes", "quota", TABLE_UNITS, "write units/s", lambda p: load(p).write, "raise, or cells"),
        Wall("the index, writes", "quota", TABLE_UNITS, "write units/s", lambda p: load(p).index, "raise, or cells"),
        Wall("the table, reads", "quota", TABLE_UNITS, "read units/s", _reads, "entries that hold what is listed"),
        Wall("task starts (RunTask)", "quota", RUN_TASK_RATE, "tasks/s", lambda p: p.starts, "raise, or accounts"),
        Wall("network interfaces of a Region", "quota", 5_000, "interfaces", lambda p: p.sessions, "raise"),
        Wall("addresses of a VPC (/16)", "law", ADDRESSES, "addresses", lambda p: p.sessions, "cells"),
        Wall("targets of a load balancer", "quota", 1_000, "gateways", lambda p: fleet(p).gateways, "cells"),
        Wall("vCPUs on Fargate", "quota", 6, "vCPUs", lambda p: p.sandbox_cpus * p.sessions, "raise at once"),
        Wall("sweepers' looks at a partition", "law", PARTITION_READS, "read units/s",
             lambda p: fleet(p).gateways * 0.5 * 5 / p.lease, "none needed"),
    )  # fmt: skip


def hot_keys(plan: Plan) -> list[tuple[str, str, float]]:
    """What one partition gets from one user or session, however many others there are: (whose, what, units/s)."""
    prices = costs(plan)
    appends = 1 / plan.flush
    return [
        ("a session, while text streams", "4 groups of frames a second", prices["append"].write * appends),
        ("a user with 50 runs at once", "prompts, each a move in the list", 50 / (plan.run + plan.think) * 4),
        ("a user's list on 10 screens", "a page of 50 every 15 s", 10 * prices["list"].read / 15),
    ]  # fmt: skip


def rates(plan: Plan) -> dict[str, float]:
    """Operation → write units a second, table and index, the largest first."""
    prices = costs(plan)
    found = {
        name: (prices[name].write + prices[name].index) * rate for name, rate in per_second(plan).items()
    }
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))
