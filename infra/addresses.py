"""How the networks of a stack are divided into subnets: a VPC's among its zones, where it stays as it is when a third
comes, and on Docker the pool that each sandbox's own network is cut out of."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

MOST_ZONES: Final = 3

WIDEST_POOL: Final = 8
NARROWEST_POOL: Final = 24
"""Networks that sandboxes' are cut out of, by their prefixes."""

OWN_ADDRESSES: Final = 3
"""Of each subnet: its first and its last, and the one that the engine keeps for itself."""

LEAST_SUBNET: Final = 16
"""Addresses of a sandbox's network, or more: as an update that was cut short leaves gateways of two versions."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """Networks by zone, in the order of the zones."""

    public: tuple[str, ...]
    private: tuple[str, ...]


def divided(cidr: str, zones: int) -> Ranges:
    """Of eight equal parts: one for each zone's public subnet, two for the private ones of two zones, one for the
    third's. A /24 has public subnets of /27, the smallest that a load balancer takes."""
    network = ipaddress.ip_network(cidr)
    eighths = [str(part) for part in network.subnets(prefixlen_diff=3)]
    quarters = [str(part) for part in network.subnets(prefixlen_diff=2)]
    private = (quarters[2], quarters[3], eighths[3])
    return Ranges(public=tuple(eighths[:zones]), private=private[:zones])


def read_pool(cidr: str) -> ipaddress.IPv4Network:
    """The network that sandboxes' are cut out of. Raises `ValueError` with what it must be."""
    must = f"it must be a network of private addresses, /{WIDEST_POOL} to /{NARROWEST_POOL}, such as 10.213.0.0/16"
    try:
        pool = ipaddress.IPv4Network(cidr, strict=False)
    except ValueError:
        raise ValueError(must) from None
    special = pool.is_global or pool.is_loopback or pool.is_link_local or pool.is_multicast
    if special or not WIDEST_POOL <= pool.prefixlen <= NARROWEST_POOL:
        raise ValueError(must)
    if str(pool) != cidr:
        raise ValueError(f"it must be the beginning of its network, which is {pool}")
    return pool


def sandbox_prefix(gateways: int) -> int:
    """Of a sandbox's own network: it has room for the sandbox and this many gateways, which an update has twice."""
    addresses = max(LEAST_SUBNET, 2 * gateways + 1 + OWN_ADDRESSES)
    return ipaddress.IPV4LENGTH - (addresses - 1).bit_length()


def sandbox_subnets(cidr: str, gateways: int) -> int:
    """How many sandboxes' networks a pool has."""
    return 1 << (sandbox_prefix(gateways) - read_pool(cidr).prefixlen)
