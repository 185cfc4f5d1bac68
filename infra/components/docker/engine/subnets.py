"""The networks that the engine's machine has besides sandboxes', of which none may be where these are cut out of."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from infra.components.docker.labels import ROLE, STACK
from infra.config import Settings
from infra.values import ConfigError

ROUTES: Final = Path("/proc/net/route")
"""Of this machine (proc(5)); where there is none, none are known."""

UP_FIELDS: Final = 8
"""Fields of a line of it up to the mask."""


def networks_of(networks: list[Any], info: Mapping[str, Any], routes: str) -> dict[str, str]:
    """Subnets in use, and what each is. `networks`: the engine's. `info`: what it says of itself. `routes`: the text of
    `ROUTES` where the engine is on this machine, else empty."""
    found: dict[str, str] = {}
    engines = []
    for network in networks:
        subnets = [item.get("Subnet", "") for item in (network["IPAM"] or {}).get("Config") or ()]
        engines += [ipaddress.ip_network(subnet, strict=False) for subnet in subnets if _is_v4(subnet)]
        labels = network.get("Labels") or {}
        if labels.get(ROLE) != "sandbox" or STACK not in labels:
            found |= {subnet: f"the Docker network {network['Name']}" for subnet in subnets if _is_v4(subnet)}
    for pool in info.get("DefaultAddressPools") or ():
        if _is_v4(pool["Base"]):
            found[pool["Base"]] = "where the Docker engine takes networks from (default-address-pools)"
    for device, route in _routes(routes):
        if route not in engines:
            found.setdefault(str(route), f"a network of this machine ({device})")
    return found


def check_subnets(settings: Settings, networks: Mapping[str, str]) -> None:
    """Raises `ConfigError` where `sandboxNetworks` overlaps one of `networks`. A route that is wider than it does not
    count: a company's for all of 10.0.0.0/8 says nothing of who is there."""
    pool = ipaddress.IPv4Network(settings.sandbox_networks)
    for subnet, what in networks.items():
        network = ipaddress.IPv4Network(subnet, strict=False)
        wider = what.startswith("a network of this machine") and pool.subnet_of(network) and pool != network
        if network.overlaps(pool) and not wider:
            raise ConfigError(
                f"vaporforge:sandboxNetworks is {settings.sandbox_networks}, and {subnet} is {what}; it must be a "
                "network that nobody else has here: each sandbox's own is cut out of it"
            )


def read_routes() -> str:
    """The text of `ROUTES`; empty where this machine has no such file."""
    try:
        return ROUTES.read_text(encoding="ascii")
    except OSError:
        return ""


def _routes(text: str) -> Iterator[tuple[str, ipaddress.IPv4Network]]:
    for line in text.splitlines()[1:]:
        parts = line.split()
        if len(parts) < UP_FIELDS:
            continue
        destination, mask = (int.from_bytes(bytes.fromhex(parts[at]), "little") for at in (1, 7))
        if mask:
            yield parts[0], ipaddress.IPv4Network((destination & mask, mask.bit_count()))


def _is_v4(subnet: str) -> bool:
    return bool(subnet) and ":" not in subnet
