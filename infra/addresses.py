"""How the network of a stack is divided into subnets; it stays as it is when a third zone comes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

MOST_ZONES: Final = 3


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
