"""Sandboxes' networks are cut out of what nobody else has on the engine's machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.components.docker.engine.subnets import check_subnets, networks_of
from infra.config import Settings, default_settings
from infra.values import ConfigError

ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0
tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0
eth0\t0001D50A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
br-1\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
"""


def network(name: str, subnet: str, **labels: str) -> dict[str, Any]:
    return {"Name": name, "Labels": labels, "IPAM": {"Config": [{"Subnet": subnet}, {"Subnet": "fd00::/8"}]}}


SANDBOX = {"vaporforge.stack": "vaporforge-other", "vaporforge.role": "sandbox"}


def settings(pool: str) -> Settings:
    return replace(default_settings("docker"), sandbox_networks=pool)


def test_what_the_engine_and_its_machine_have_is_found() -> None:
    listed = [
        network("bridge", "172.17.0.0/16"),
        network("sandbox", "10.213.7.0/28", **SANDBOX),
        {"Name": "none", "Labels": None, "IPAM": {"Config": None}},
    ]
    info = {"DefaultAddressPools": [{"Base": "10.20.0.0/16", "Size": 24}]}
    assert networks_of(listed, info, ROUTES) == {
        "172.17.0.0/16": "the Docker network bridge",
        "10.20.0.0/16": "where the Docker engine takes networks from (default-address-pools)",
        "10.0.0.0/8": "a network of this machine (tun0)",
        "10.213.1.0/24": "a network of this machine (eth0)",
    }
    assert networks_of([], {}, "") == {}


@pytest.mark.parametrize(
    ("pool", "named"),
    [
        ("172.17.0.0/16", "172.17.0.0/16 is the Docker network bridge"),
        ("172.16.0.0/12", "172.17.0.0/16 is the Docker network bridge"),
        ("172.17.4.0/24", "172.17.0.0/16 is the Docker network bridge"),
        ("10.20.0.0/20", "10.20.0.0/16 is where the Docker engine takes networks from"),
        ("10.213.0.0/16", r"10.213.1.0/24 is a network of this machine \(eth0\)"),
        ("10.0.0.0/8", "10.20.0.0/16 is"),
    ],
)
def test_a_pool_in_which_somebody_is_is_refused(pool: str, named: str) -> None:
    info = {"DefaultAddressPools": [{"Base": "10.20.0.0/16", "Size": 24}]}
    with pytest.raises(ConfigError, match=rf"^vaporforge:sandboxNetworks is {pool}, and {named}"):
        check_subnets(settings(pool), networks_of([network("bridge", "172.17.0.0/16")], info, ROUTES))


def test_other_stacks_sandboxes_and_a_wide_route_are_no_reason() -> None:
    there = networks_of([network("sandbox", "10.9.7.0/28", **SANDBOX)], {}, ROUTES)
    check_subnets(settings("10.9.0.0/16"), there)
