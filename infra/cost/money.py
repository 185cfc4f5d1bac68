"""What a stack of the `aws` target costs: a month in which nobody uses it, an hour of a session, and what use adds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from infra.config import Settings
from infra.cost.prices import Price, known_regions, prices_of
from infra.rules import shape
from infra.schedule import Schedule

HOURS: Final = 730
"""Of a month, as AWS's own calculator reckons."""

WEEK: Final = 1_768_176_000
"""The beginning of a week in which no clock is put forward or back: 12 January 2026, in epoch seconds."""

SWEEPS_A_SECOND: Final = 0.5
"""Of a gateway that looks for runs without one (gateway/runs/sweeper.py: five in a lease's time of ten seconds)."""

SWEEP_UNITS: Final = 2.0
"""Read units of one: four queries of the index (OPEN_SHARDS of gateway/store/keys.py), half a unit each."""

CHECKS_A_SECOND: Final = 0.2
"""Of each gateway from each zone of the load balancer, a consistent read each (gateway/web/health.py)."""

METRICS: Final = 8
POOL_METRICS: Final = 3
"""That gateways publish (gateway/app.py), by their stack alone; and more with a pool."""

ALARMS: Final = 6
POOL_ALARMS: Final = 1
"""As many as infra/components/aws/watch.py makes; and more with a pool."""

SCALING_ALARMS: Final = 4
"""That AWS itself makes for the two policies of infra/components/aws/scaling.py, for more and for fewer."""

TOLD: Final = (
    "list prices from public pages and memory, not looked up at AWS (infra/cost/prices.json has each with its date and "
    "source); without free tiers, discounts and taxes"
)

USAGE: Final[Mapping[str, str]] = {
    "alb-lcu-hour": "load balancer",
    "nat-gb": "NAT gateway",
    "endpoint-gb": "interface endpoints",
    "out-gb": "traffic",
    "write-million": "DynamoDB",
    "read-million": "DynamoDB",
    "table-gb-month": "DynamoDB",
    "recovery-gb-month": "DynamoDB",
    "bucket-gb-month": "S3",
    "bucket-put-thousand": "S3",
    "log-gb": "CloudWatch logs",
    "log-gb-month": "CloudWatch logs",
    "image-gb-month": "ECR",
}
"""What only use makes, by the price's name: the part of the stack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """`part` of the stack, `count` times something that has a price of `usd`."""

    part: str
    what: str
    usd: float


def cost(settings: Settings) -> dict[str, Any]:
    """The stack's output of that name: plain figures of US dollars; none where the region has no prices."""
    prices = prices_of(settings.region)
    if prices is None:
        known = ", ".join(known_regions())
        said = (
            f"infra/cost/prices.json has no prices of {settings.region}, only of {known}: no figure is told"
        )
        return {"region": settings.region, "told": said}
    idle, session = list(idle_month(settings, prices)), list(session_hour(settings, prices))
    return {
        "region": settings.region,
        "currency": "USD",
        "idleMonth": _parts(idle, 2),
        "sessionHour": _parts(session, 4),
        "usage": {f"{part}: {prices[name].per}": prices[name].usd for name, part in USAGE.items()},
        "told": TOLD,
    }


def idle_month(settings: Settings, prices: Mapping[str, Price]) -> Iterator[Item]:
    """What is paid though nobody comes; of a stack that is stopped what it keeps."""

    def item(part: str, what: str, price: str, count: float) -> Iterator[Item]:
        if count:
            yield Item(part=part, what=what, usd=count * prices[price].usd)

    def hours(part: str, what: str, price: str, count: float) -> Iterator[Item]:
        yield from item(part, what, price, count * HOURS)

    yield from item("KMS", "1 key", "kms-key-month", 1)
    yield from item("Secrets Manager", "1 secret", "secret-month", 1)
    if settings.running or shape.is_protected(settings):
        zones, nats = shape.zones(settings), shape.nat_gateways(settings)
        yield from hours("load balancer", "1", "alb-hour", 1)
        yield from hours("NAT gateways", f"{nats}", "nat-hour", nats)
        called = len(shape.services(settings))
        endpoints = called * settings.zones
        yield from hours(
            "interface endpoints", f"{called} in {settings.zones} zones", "endpoint-hour", endpoints
        )
        yield from hours("public IPv4 addresses", f"{zones + nats}", "ipv4-hour", zones + nats)
    if not settings.running:
        return
    count = settings.gateway_replicas
    size = f"{count} of {settings.gateway_cpus:g} vCPU and {settings.gateway_memory_mb} MiB"
    cpus, memory = count * settings.gateway_cpus, count * settings.gateway_memory_mb / 1024
    yield from hours("gateways on Fargate", size, "fargate-vcpu-hour", cpus)
    yield from hours("gateways on Fargate", size, "fargate-gb-hour", memory)
    if shape.gateways_public(settings):
        yield from hours("public IPv4 addresses of gateways", f"{count}", "ipv4-hour", count)
    looks = count * (SWEEPS_A_SECOND * SWEEP_UNITS + shape.zones(settings) * CHECKS_A_SECOND)
    what = "looks for runs without a gateway, checks of the load balancer"
    yield from item("DynamoDB", what, "read-million", looks * HOURS * 3600 / 1_000_000)
    alarms, metrics = ALARMS + SCALING_ALARMS, METRICS
    if settings.pool.largest:
        waiting = _mean(settings.pool)
        alarms, metrics = alarms + POOL_ALARMS, metrics + POOL_METRICS
        for one in session_hour(settings, prices):
            usd = HOURS * waiting * one.usd
            yield Item(part=f"the pool: {one.part}", what=f"{waiting:.4g} of {one.what}", usd=usd)
    yield from item("CloudWatch alarms", f"{alarms}", "alarm-month", alarms)
    yield from item("CloudWatch dashboard", "1", "dashboard-month", 1)
    yield from item("CloudWatch metrics", f"{metrics}", "metric-month", metrics)
    yield from item("private names", "1 hosted zone", "zone-month", 1)


def session_hour(settings: Settings, prices: Mapping[str, Price]) -> Iterator[Item]:
    """An hour of a sandbox that runs, whatever its agent does in it."""
    kind, words = ("fargate-spot", "Fargate Spot") if settings.sandbox_spot else ("fargate", "Fargate")
    size = f"{settings.sandbox_cpus:g} vCPU and {settings.sandbox_memory_mb} MiB"
    usd = settings.sandbox_cpus * prices[f"{kind}-vcpu-hour"].usd
    usd += settings.sandbox_memory_mb / 1024 * prices[f"{kind}-gb-hour"].usd
    yield Item(part=f"sandbox on {words}", what=size, usd=usd)
    if shape.sandboxes_public(settings):
        yield Item(part="public IPv4 address", what="1", usd=prices["ipv4-hour"].usd)


def _mean(pool: Schedule) -> float:
    """Its size over a week."""
    minutes = range(WEEK, WEEK + 7 * 24 * 3600, 60)
    return sum(map(pool.size, minutes)) / len(minutes)


def _parts(items: list[Item], digits: int) -> dict[str, float]:
    """By part, and the sum of what is told."""
    found: dict[str, float] = {}
    for item in items:
        name = f"{item.part} ({item.what})"
        found[name] = found.get(name, 0.0) + item.usd
    rounded = {name: round(usd, digits) for name, usd in found.items()}
    return {**rounded, "total": round(sum(rounded.values()), digits)}
