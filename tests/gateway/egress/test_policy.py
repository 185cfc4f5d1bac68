"""What may be reached at each level."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.config import ConfigError
from gateway.egress.hosts import pattern_of
from gateway.egress.policy import Blocked, Verdict, expand, known_presets, policy_of
from tests.gateway.stack import settings_for

NONE = settings_for("http://127.0.0.1:1", "t", egress_proxy="egress:4750")


def test_nothing_is_the_default() -> None:
    policy = policy_of(NONE)
    assert policy.judge("pypi.org", 443, tunnel=True).blocked is Blocked.HOST
    assert not policy.asks


@pytest.mark.parametrize(
    ("host", "port", "tunnel", "blocked"),
    [
        ("pypi.org", 443, True, None),
        ("files.pythonhosted.org", 443, True, None),
        ("deb.debian.org", 80, False, None),
        ("own.example.com", 443, True, None),
        ("deep.below.example.net", 443, True, None),
        ("example.net", 443, True, Blocked.HOST),
        ("evil.example.com", 443, True, Blocked.HOST),
        ("pypi.org.evil.com", 443, True, Blocked.HOST),
        ("pypi.org", 22, True, Blocked.PORT),
        ("pypi.org", 80, True, Blocked.PORT),
        ("pypi.org", 443, False, Blocked.PORT),
        ("github.com", 443, True, Blocked.HOST),
    ],
)
def test_registries_and_what_is_listed_beside(
    host: str, port: int, tunnel: bool, blocked: Blocked | None
) -> None:
    policy = policy_of(replace(NONE, egress="registries", egress_allow=("own.example.com", "*.example.net")))
    assert policy.judge(host, port, tunnel=tunnel).blocked is blocked
    assert policy.names_matter


def test_a_list_may_name_presets_and_groups_of_them() -> None:
    policy = policy_of(replace(NONE, egress="list", egress_allow=("git", "npm")))
    for host in ("github.com", "raw.githubusercontent.com", "gitlab.com", "registry.npmjs.org"):
        assert policy.judge(host, 443, tunnel=True) == Verdict()
    assert policy.judge("pypi.org", 443, tunnel=True).blocked is Blocked.HOST


def test_where_owners_may_no_longer_decide_what_they_allowed_counts_no_more() -> None:
    policy = policy_of(replace(NONE, egress="registries", egress_session_allow=False))
    assert (
        policy.judge("own.example.com", 443, tunnel=True, allowed=("own.example.com",)).blocked
        is Blocked.HOST
    )


def test_what_a_session_s_owner_has_allowed_is_of_that_name_alone() -> None:
    policy = policy_of(replace(NONE, egress="list", egress_allow=("pypi.org",)))
    assert policy.asks
    assert policy.judge("own.example.com", 443, tunnel=True, allowed=("own.example.com",)) == Verdict(
        own=True
    )
    assert policy.judge("pypi.org", 443, tunnel=True, allowed=("pypi.org",)) == Verdict()
    assert (
        policy.judge("a.own.example.com", 443, tunnel=True, allowed=("own.example.com",)).blocked
        is Blocked.HOST
    )
    assert (
        policy.judge("own.example.com", 22, tunnel=True, allowed=("own.example.com",)).blocked is Blocked.PORT
    )
    assert not policy_of(replace(NONE, egress="list", egress_session_allow=False)).asks


def test_all_is_any_host_at_any_port_whatever_name_is_said() -> None:
    policy = policy_of(replace(NONE, egress="all"))
    assert policy.judge("anything.example.com", 5432, tunnel=True) == Verdict()
    assert not policy.names_matter
    assert not policy.asks


def test_learning_lets_hosts_through_and_says_which_are_on_no_list() -> None:
    policy = policy_of(replace(NONE, egress="registries", egress_learn=True))
    assert policy.judge("pypi.org", 443, tunnel=True) == Verdict()
    assert policy.judge("new.example.com", 443, tunnel=True) == Verdict(learned=True)
    assert policy.judge("new.example.com", 22, tunnel=True).blocked is Blocked.PORT


@pytest.mark.parametrize("entry", ["nonsense", "10.0.0.1", "https://pypi.org", "*.org", "*"])
def test_an_entry_that_is_none_is_named(entry: str) -> None:
    with pytest.raises(ConfigError, match="VF_EGRESS_ALLOW") as caught:
        policy_of(replace(NONE, egress="list", egress_allow=("pypi.org", entry)))
    assert repr(entry) in str(caught.value)


def test_every_preset_is_of_a_group_and_spelled_as_hosts_are() -> None:
    groups, presets = known_presets()
    assert sorted(name for names in groups.values() for name in names) == sorted(presets)
    for hosts in presets.values():
        assert [pattern_of(host) for host in hosts] == list(hosts)
    assert set(expand(["registries", "git"])) == {host for hosts in presets.values() for host in hosts}
