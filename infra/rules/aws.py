"""Rules of the `aws` target: the load balancer's and Fargate's times, numbers of tasks, and addresses for them."""

from __future__ import annotations

from typing import Final

from infra.config import Settings
from infra.rules import facts, shape
from infra.rules.rule import AWS, Formed, Ordered, Rule
from infra.rules.terms import POOL, counted, figure, key, named


def _egress_memory(settings: Settings) -> str | None:
    most = settings.gateway_memory_mb - facts.GATEWAY_LEAST_MB
    if not shape.has_egress_proxy(settings) or settings.egress_memory_mb <= most:
        return None
    return (
        f"{named('egress_memory_mb')} is {settings.egress_memory_mb}; with {named('gateway_memory_mb')} "
        f"{settings.gateway_memory_mb} it must be {most} at most: the forward proxy is in the gateway's task, and has "
        f"its memory of it. Or set {named('gateway_memory_mb')} to a larger size of Fargate's"
    )


RULES: Final[tuple[Rule, ...]] = (
    Ordered(
        name="idle",
        targets=AWS,
        left=2
        * figure(max(facts.PING_SECONDS, facts.EVENT_HEARTBEAT_SECONDS), "the heartbeat of a silent stream"),
        right=key("alb_idle_seconds"),
        strict=True,
        change="alb_idle_seconds",
        why="the load balancer cuts a stream on which nothing is sent, and one heartbeat may be lost or late",
    ),
    Ordered(
        name="drain",
        targets=AWS,
        left=key("drain_seconds") + figure(facts.STOP_MARGIN_SECONDS, "time to close"),
        right=figure(facts.FARGATE_STOP_SECONDS, "the most that Fargate waits before it kills"),
        change="drain_seconds",
        why="a gateway that is killed while it drains gives no leases back, and its runs wait for them to end",
    ),
    Ordered(
        name="stop",
        targets=AWS,
        left=key("stop_seconds") + figure(facts.SANDBOX_STOP_MARGIN_SECONDS, "time to end"),
        right=figure(facts.FARGATE_STOP_SECONDS, "the most that Fargate waits before it kills"),
        change="stop_seconds",
        why="a sandbox would be killed sooner than its run is waited for",
    ),
    Ordered(
        name="replicas",
        targets=AWS,
        left=figure(2, "one gateway for each of two zones"),
        right=key("gateway_replicas"),
        change="gateway_replicas",
        why="with one of them the loss of a zone, and each update of ECS's own machines, is an outage",
    ),
    Ordered(
        name="scaling",
        targets=AWS,
        left=key("gateway_replicas"),
        right=key("gateway_replicas_most"),
        change="gateway_replicas_most",
        why="autoscaling stays between the two",
    ),
    Formed(
        name="egress-memory",
        targets=AWS,
        told=f"`egressMemoryMb` + what a gateway wants at least, in MiB ({facts.GATEWAY_LEAST_MB}) ≤ "
        "`gatewayMemoryMb`, where `egress` is `registries` or `list`",
        why="the forward proxy is in the gateway's task, and has its memory of it",
        judge=_egress_memory,
    ),
    Ordered(
        name="private-addresses",
        targets=AWS,
        left=key("sandboxes")
        + POOL
        + counted(
            "gateways, twice in an update, and endpoints",
            shape.private_taken,
            *("gateway_replicas", "gateway_replicas_most", "nat", "interface_endpoints", "sandbox_internet"),
        ),
        right=counted("addresses of the private subnets", shape.private_addresses, "vpc_cidr", "zones"),
        change="sandboxes",
        when=lambda settings: shape.is_own(settings) and not shape.sandboxes_public(settings),
        told_when=", where the VPC is made",
        why="each task has an address of its own; where none is left, ECS starts none",
    ),
    Ordered(
        name="public-addresses",
        targets=AWS,
        left=key("sandboxes")
        + POOL
        + counted(
            "gateways, twice in an update, load balancer and NAT",
            shape.public_taken,
            *("gateway_replicas", "gateway_replicas_most", "nat"),
        ),
        right=counted("addresses of the public subnets", shape.public_addresses, "vpc_cidr", "zones"),
        change="sandboxes",
        when=shape.sandboxes_public,
        told_when=", where `nat` is `none` and `sandboxInternet` is `true`",
        why="each task has an address of its own, and the public subnets are half as large",
    ),
    Ordered(
        name="gateway-addresses",
        targets=AWS,
        left=counted(
            "gateways, twice in an update, load balancer and NAT",
            shape.public_taken,
            *("gateway_replicas", "gateway_replicas_most", "nat"),
        ),
        right=counted("addresses of the public subnets", shape.public_addresses, "vpc_cidr", "zones"),
        change="gateway_replicas_most",
        when=shape.is_own,
        told_when=", where the VPC is made",
        why="the load balancer wants eight in each of its subnets, and with `nat` `none` gateways are there too",
    ),
)
