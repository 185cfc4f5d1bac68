"""What holds for every force: whom it may touch, how long, how many; and the open files that it needs."""

from __future__ import annotations

import ipaddress
import resource
import socket

MOST_SECONDS = 120.0
MOST_CONNECTIONS = 20_000
MOST_REQUESTS = 50_000

CARRIER = ipaddress.ip_network("100.64.0.0/10")
"""Addresses of providers' own (RFC 6598): private to nobody here."""


class ForeignAddress(ValueError):
    """An address outside of this machine and of its containers."""


def ours(host: str) -> str:
    """The IP address of `host`. Raises ForeignAddress when it is neither loopback nor private (RFC 1918, RFC 4193)."""
    found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)[0][4][0]
    address = ipaddress.ip_address(found)
    private = address.is_private and not address.is_link_local and address not in CARRIER
    if not (address.is_loopback or private):
        raise ForeignAddress(
            f"{host} is {address}: attacks go to loopback or to containers of this machine only"
        )
    return str(address)


def bounded(name: str, value: float, most: float) -> float:
    """`value`, when it is within its bound. Raises ValueError naming it."""
    if not 0 <= value <= most:
        raise ValueError(f"{name} is {value:g}; it must be 0 to {most:g}")
    return value


def open_many_files() -> None:
    """As many as the system lets this process open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
