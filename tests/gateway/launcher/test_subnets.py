"""Which subnet a session gets: the same whoever asks, and never one that is taken."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.launcher.subnets import NoSubnetError, subnet_of, subnets_in

POOL = IPv4Network("10.213.0.0/16")
SMALL = IPv4Network("10.213.8.0/26")


def test_two_launchers_choose_the_same_for_a_session_and_others_for_others() -> None:
    assert subnet_of(POOL, 28, "a") == subnet_of(POOL, 28, "a")
    assert len({subnet_of(POOL, 28, f"session-{number}") for number in range(20)}) > 15


@given(st.text(max_size=8), st.sets(st.integers(0, 3), max_size=3))
def test_it_is_the_pool_s_and_nobody_else_s(session: str, used: set[int]) -> None:
    taken = [list(SMALL.subnets(new_prefix=28))[number] for number in used]
    found = subnet_of(SMALL, 28, session, taken)
    assert found.subnet_of(SMALL)
    assert found not in taken


def test_what_is_wider_or_narrower_takes_all_that_it_touches() -> None:
    taken = [IPv4Network("10.213.8.0/27"), IPv4Network("10.213.8.63/32"), IPv4Network("10.0.0.0/24")]
    assert subnet_of(SMALL, 28, "a", taken) == IPv4Network("10.213.8.32/28")


@pytest.mark.parametrize("taken", ["10.213.8.0/26", "10.213.0.0/16", "0.0.0.0/0"])
def test_where_all_are_taken_there_is_none(taken: str) -> None:
    with pytest.raises(NoSubnetError):
        subnet_of(SMALL, 28, "a", [IPv4Network(taken)])


def test_the_subnets_of_networks_are_read_as_the_engine_lists_them() -> None:
    listed: list[dict[str, Any]] = [
        {"IPAM": {"Config": [{"Subnet": "10.1.0.0/16", "Gateway": "10.1.0.1"}, {"Subnet": "fd00::/64"}]}},
        {"IPAM": {"Config": None}},
        {"IPAM": {"Config": [{}]}},
    ]
    assert subnets_in(listed) == [IPv4Network("10.1.0.0/16")]
