"""What a stack has, as far as its settings alone tell: zones, ways out, endpoints, addresses; on Docker networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Final

from infra import addresses
from infra.addresses import divided
from infra.config import Settings
from infra.rules.facts import BALANCER_ADDRESSES, RESERVED_ADDRESSES, WIDEST_PREFIX

PULLING: Final = ("ecr.api", "ecr.dkr", "logs")
"""What a Fargate task without a way out needs to start: its image and its log come and go by its own interface."""

CALLED: Final = ("ecs", "secretsmanager", "kms", "monitoring")
"""What gateways call besides."""


def listed(ids: str) -> list[str]:
    """Ids that are separated by commas."""
    return [one.strip() for one in ids.split(",") if one.strip()]


def has_tls(settings: Settings) -> bool:
    """Whether users reach the stack by HTTPS."""
    return bool(settings.certificate_arn or settings.hosted_zone)


def is_protected(settings: Settings) -> bool:
    """Whether the stack's data outlives it: what `protect` says, and with `auto` a stack called prod."""
    return settings.stack == "prod" if settings.protect == "auto" else settings.protect == "true"


def is_own(settings: Settings) -> bool:
    """Whether the network is made, and not one that is there."""
    return not settings.vpc_id


def zones(settings: Settings) -> int:
    """In how many the load balancer is."""
    return settings.zones if is_own(settings) else len(listed(settings.public_subnets))


def nat_gateways(settings: Settings) -> int:
    """How many are made."""
    return {"none": 0, "one": 1, "zone": settings.zones}[settings.nat] if is_own(settings) else 0


def gateways_public(settings: Settings) -> bool:
    """Whether gateways have public addresses, as nothing else leads out of their network."""
    return is_own(settings) and settings.nat == "none"


def has_egress_proxy(settings: Settings) -> bool:
    """Whether sandboxes reach hosts by gateways and a forward proxy: on aws `all` is their security group's."""
    return settings.egress != "none" and not (settings.target == "aws" and settings.egress == "all")


def sandboxes_public(settings: Settings) -> bool:
    """Whether sandboxes have."""
    return settings.sandbox_internet and gateways_public(settings)


def services(settings: Settings) -> tuple[str, ...]:
    """Those with interface endpoints: those which sandboxes without the internet need to be started, in any case; none
    in a network that was there."""
    if not is_own(settings):
        return ()
    wanted = PULLING if settings.interface_endpoints or not settings.sandbox_internet else ()
    return (*wanted, *(CALLED if settings.interface_endpoints else ()))


def most_gateways(settings: Settings) -> int:
    """While an update runs: the old beside the new."""
    return 2 * max(settings.gateway_replicas, settings.gateway_replicas_most)


def private_taken(settings: Settings) -> int:
    """Addresses of the private subnets that others than sandboxes may take."""
    gateways = 0 if gateways_public(settings) else most_gateways(settings)
    return gateways + len(services(settings)) * settings.zones


def public_taken(settings: Settings) -> int:
    """Addresses of the public subnets that others than sandboxes may take."""
    gateways = most_gateways(settings) if gateways_public(settings) else 0
    return gateways + BALANCER_ADDRESSES * settings.zones + nat_gateways(settings)


def private_addresses(settings: Settings) -> int:
    """What the private subnets of a network that is made have for tasks, which ECS spreads evenly over them."""
    return _usable(divided(settings.vpc_cidr, settings.zones).private)


def public_addresses(settings: Settings) -> int:
    """As `private_addresses`, of the public ones."""
    return _usable(divided(settings.vpc_cidr, settings.zones).public)


def wider_networks(settings: Settings) -> Iterator[str]:
    """Those around `vpc_cidr`, the next first, up to the widest that AWS makes."""
    network = ipaddress.ip_network(settings.vpc_cidr)
    for prefix in reversed(range(WIDEST_PREFIX, network.prefixlen)):
        yield str(network.supernet(new_prefix=prefix))


def sandbox_subnets(settings: Settings) -> int:
    """How many sandboxes of a docker stack may have a network of their own."""
    return addresses.sandbox_subnets(settings.sandbox_networks, settings.gateway_replicas)


def wider_pools(settings: Settings) -> Iterator[str]:
    """Networks around `sandbox_networks`, the next first."""
    pool = addresses.read_pool(settings.sandbox_networks)
    for prefix in reversed(range(addresses.WIDEST_POOL, pool.prefixlen)):
        yield str(pool.supernet(new_prefix=prefix))


WIDER: Final = {"vpc_cidr": wider_networks, "sandbox_networks": wider_pools}
"""Of each setting that is a network: those around it."""


def _usable(subnets: tuple[str, ...]) -> int:
    sizes = [ipaddress.ip_network(subnet).num_addresses - RESERVED_ADDRESSES for subnet in subnets]
    return min(sizes) * len(sizes)
