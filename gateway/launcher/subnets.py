"""Which subnet a session's network has: one of the pool's, by the session's id, and the next that is free."""

from __future__ import annotations

import hashlib
import ipaddress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class NoSubnetError(Exception):
    """Every subnet of the pool is taken."""


def subnet_of(
    pool: ipaddress.IPv4Network, prefix: int, session: str, taken: Iterable[ipaddress.IPv4Network] = ()
) -> ipaddress.IPv4Network:
    """The first of the pool's subnets of this `prefix` from the session's own on that overlaps none of `taken`.

    Two launchers that make the network of one session choose the same subnet, which the engine gives away once; and
    one that is free again is another session's as late as may be. Raises `NoSubnetError`."""
    count = 1 << (prefix - pool.prefixlen)
    size = 1 << (pool.max_prefixlen - prefix)
    first = int.from_bytes(hashlib.sha256(session.encode()).digest()[:8]) % count
    base = int(pool.network_address)
    used: set[int] = set()
    for network in taken:
        if network.overlaps(pool):
            start = max(int(network.network_address), base)
            end = min(int(network.broadcast_address), int(pool.broadcast_address))
            used.update(range((start - base) // size, (end - base) // size + 1))
    for step in range(count):
        number = (first + step) % count
        if number not in used:
            return ipaddress.IPv4Network((base + number * size, prefix))
    raise NoSubnetError


def subnets_in(networks: Iterable[Mapping[str, Any]]) -> list[ipaddress.IPv4Network]:
    """The IPv4 subnets of networks as the engine lists them."""
    given = (item.get("Subnet", "") for network in networks for item in network["IPAM"].get("Config") or ())
    return [ipaddress.IPv4Network(subnet, strict=False) for subnet in given if subnet and ":" not in subnet]
