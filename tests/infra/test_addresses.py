"""How the network is divided."""

from __future__ import annotations

import ipaddress
import itertools

import pytest

from infra.addresses import divided


@pytest.mark.parametrize("cidr", ["10.42.0.0/16", "10.0.0.0/20", "192.168.7.0/24"])
def test_no_two_subnets_overlap_and_a_load_balancer_has_room(cidr: str) -> None:
    ranges = divided(cidr, 3)
    networks = [ipaddress.ip_network(part) for part in (*ranges.public, *ranges.private)]
    assert len(networks) == 6
    assert not [pair for pair in itertools.combinations(networks, 2) if pair[0].overlaps(pair[1])]
    whole = ipaddress.ip_network(cidr)
    assert all(whole.supernet_of(network) for network in networks)  # type: ignore[arg-type]
    # ELBv2 wants a /27 or larger.
    assert max(network.prefixlen for network in networks) <= 27


def test_a_third_zone_leaves_the_two_others_as_they_are() -> None:
    two, three = divided("10.42.0.0/16", 2), divided("10.42.0.0/16", 3)
    assert (three.public[:2], three.private[:2]) == (two.public, two.private)
    assert len(two.public) == len(two.private) == 2
