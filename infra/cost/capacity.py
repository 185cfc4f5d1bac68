"""How many sessions may have a sandbox at once, and which wall comes first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from infra.config import Settings
from infra.cost.prices import Quota, quotas
from infra.rules import shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Wall:
    """`name` lets so many `sessions` be. `more`: what lets more be."""

    name: str
    sessions: int
    more: str


def on_aws(settings: Settings) -> dict[str, Any]:
    """The stack's output `capacity`, by its settings and the quotas that an account has by default. The pool comes on
    top of what sessions have, and counts at its largest."""
    return _told(
        list(_aws_walls(settings)),
        "an account's quotas by default (infra/cost/quotas.json), which other stacks of the region share; yours may be "
        "higher: Service Quotas has them",
    )


def on_docker(settings: Settings, room_mb: int | None) -> dict[str, Any]:
    """The same on one machine. `room_mb`: MiB that it has besides the stack's own parts; None where it is not known."""
    return _told(
        list(_docker_walls(settings, room_mb)),
        "by limits of memory, all of it used at once; sandboxes that are not full leave room for more",
    )


def _aws_walls(settings: Settings) -> Iterator[Wall]:
    yield from _own_walls(settings, settings.gateway_replicas_most)
    known = quotas()
    gateways = settings.gateway_replicas * settings.gateway_cpus
    if settings.sandbox_spot:
        yield _vcpus(settings, known["fargate-spot-vcpus"], 0)
    else:
        yield _vcpus(settings, known["fargate-vcpus"], gateways)
    interfaces, pool = known["interfaces"], settings.pool.largest
    taken = shape.private_taken(settings) + shape.public_taken(settings) + pool
    yield Wall(
        name=f"{interfaces.what} ({interfaces.value})",
        sessions=max(0, interfaces.value - taken),
        more=f"ask AWS for more ({interfaces.code})",
    )
    if shape.is_own(settings):
        public = shape.sandboxes_public(settings)
        free = (
            shape.public_addresses(settings) - shape.public_taken(settings)
            if public
            else shape.private_addresses(settings) - shape.private_taken(settings)
        )
        yield Wall(
            name=f"addresses of the {'public' if public else 'private'} subnets of {settings.vpc_cidr}",
            sessions=max(0, free - pool),
            more="a larger vpcCidr, in a new stack",
        )


def _docker_walls(settings: Settings, room_mb: int | None) -> Iterator[Wall]:
    yield from _own_walls(settings, settings.gateway_replicas)
    yield Wall(
        name=f"subnets of {settings.sandbox_networks}, one a sandbox",
        sessions=shape.sandbox_subnets(settings) - settings.pool.largest,
        more="a wider sandboxNetworks",
    )
    if room_mb is not None:
        yield Wall(
            name="memory of the engine's machine",
            sessions=max(0, room_mb // settings.sandbox_memory_mb - settings.pool.largest),
            more="a smaller sandboxMemoryMb, or a larger machine",
        )


def _own_walls(settings: Settings, gateways: int) -> Iterator[Wall]:
    """Those that the stack's settings are."""
    if settings.sandboxes:
        yield Wall(name="the setting sandboxes", sessions=settings.sandboxes, more="sandboxes")
    yield Wall(
        name=f"connections of {gateways} gateways, one a session",
        sessions=settings.connections * gateways,
        more="connections, or gateways",
    )
    yield Wall(
        name=f"connections of {gateways} brokers, one a session",
        sessions=settings.broker_connections * gateways,
        more="brokerConnections, or gateways",
    )


def _vcpus(settings: Settings, quota: Quota, taken: float) -> Wall:
    return Wall(
        name=f"{quota.what} ({quota.value})",
        sessions=max(0, math.floor((quota.value - taken) / settings.sandbox_cpus) - settings.pool.largest),
        more=f"ask AWS for more ({quota.code})",
    )


def _told(walls: list[Wall], told: str) -> dict[str, Any]:
    walls.sort(key=lambda wall: wall.sessions)
    return {
        "sessions": walls[0].sessions,
        "first": walls[0].name,
        "more": walls[0].more,
        "walls": {wall.name: wall.sessions for wall in walls},
        "told": told,
    }
