"""Whatever is configured: what is taken contradicts nothing, and following refusals ends at what is taken."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.config import read_settings as read_gateway
from infra.addresses import divided
from infra.config import Settings
from infra.rules.check import RULES, check
from infra.rules.rule import Ordered
from infra.targets.common import gateway_environment
from infra.values import ConfigError, key_of
from tests.infra.rules.test_rules import DEFAULTS

RANGES: Mapping[str, Mapping[str, Any]] = {
    item.name: item.metadata for item in fields(Settings) if "least" in item.metadata
}

COMPARED = sorted(
    {name for rule in RULES if isinstance(rule, Ordered) for name in rule.names} & RANGES.keys()
)
"""Numbers that a rule compares."""

NAMES = {key_of(item.name): item.name for item in fields(Settings)}


def numbers(name: str) -> st.SearchStrategy[int]:
    """Of its range: its ends and the default often, so that edges are met."""
    least = RANGES[name]["least"]
    default = getattr(DEFAULTS["aws"], name)
    most = RANGES[name]["most"] if math.isfinite(RANGES[name]["most"]) else 40 * default + 100
    return st.sampled_from([least, default, most]) | st.integers(least, most)


@st.composite
def configured(draw: st.DrawFn) -> Settings:
    """Any settings that `read_settings` could give, by each value alone."""
    target = draw(st.sampled_from(["docker", "aws"]))
    names = draw(st.lists(st.sampled_from(COMPARED), max_size=8, unique=True))
    changes: dict[str, Any] = {name: draw(numbers(name)) for name in names}
    changes["bind_address"] = draw(st.sampled_from(["127.0.0.1", "0.0.0.0", "::"]))
    changes["nat"] = draw(st.sampled_from(["one", "none", "zone"]))
    changes["sandbox_internet"] = draw(st.booleans())
    changes["interface_endpoints"] = draw(st.booleans())
    changes["pool_schedule"] = draw(st.sampled_from(["", "Mon-Fri 08:00-18:00 Europe/Berlin 1000"]))
    changes["sandbox_networks"] = draw(st.sampled_from(["10.213.0.0/16", "10.0.0.0/8", "10.213.0.0/24"]))
    changes["vpc_cidr"] = f"10.0.0.0/{draw(st.integers(16, 24))}"
    return replace(DEFAULTS[target], **changes)


def refusal_of(found: Settings) -> str:
    try:
        check(found)
    except ConfigError as error:
        return str(error)
    return ""


def contradictions(found: Settings) -> list[str]:
    """What must not be, written down once more and without the rules' own means."""
    on_aws = found.target == "aws"
    wrong = {
        "a ticket ends in its handshake": found.head_seconds >= 60,
        "a token outlives a minute": found.token_leeway_seconds > 50,
        "a session ends before its sandbox": max(found.idle_minutes, found.background_minutes)
        >= found.message_ttl_days * 1440,
        "idle before it started": found.start_seconds > found.idle_minutes * 60,
        "kept and not given back": found.snapshot_mb > 16_384,
        "waited for in vain": found.snapshot_seconds > 1800,
        "files of a gateway": 2 * (found.connections + found.broker_connections) + 200 > found.part_files,
        "files of the proxy": not on_aws and found.connections * 4 + 200 > found.part_files,
        "the forwarder": not on_aws and found.bind_address != "0.0.0.0" and found.connections > 2500,
        "networks": not on_aws and found.sandboxes + found.pool.largest > networks(found),
        "idle streams": on_aws and found.alb_idle_seconds <= 60,
        "killed while it drains": on_aws and found.drain_seconds + 10 > 120,
        "killed while it stops": on_aws and found.stop_seconds + 20 > 120,
        "gateways": on_aws and not 2 <= found.gateway_replicas <= found.gateway_replicas_most,
        "addresses": on_aws and not has_addresses(found),
    }
    return [name for name, is_so in wrong.items() if is_so]


def networks(found: Settings) -> int:
    """How many sandboxes have one, with both versions of the gateways on it."""
    size = next(size for size in (16, 32, 64) if 2 * found.gateway_replicas + 4 <= size)
    return ipaddress.ip_network(found.sandbox_networks).num_addresses // size


def has_addresses(found: Settings) -> bool:
    """Whether every task has one, laid out subnet by subnet."""
    ranges = divided(found.vpc_cidr, found.zones)
    tasks = {"public": 0, "private": 0}
    public_gateways = found.nat == "none"
    tasks["public" if public_gateways else "private"] += 2 * found.gateway_replicas_most
    sandboxes = found.sandboxes + found.pool.largest
    tasks["public" if public_gateways and found.sandbox_internet else "private"] += sandboxes
    free = {}
    for kind, blocks in (("public", ranges.public), ("private", ranges.private)):
        free[kind] = min(2 ** (32 - ipaddress.ip_network(block).prefixlen) for block in blocks) - 5
    free["public"] -= 8
    return all(math.ceil(count / found.zones) <= free[kind] for kind, count in tasks.items())


@given(configured())
@settings(max_examples=150, deadline=None)
def test_what_is_taken_contradicts_nothing_and_a_gateway_takes_it_too(found: Settings) -> None:
    if refusal_of(found):
        return
    assert contradictions(found) == []
    needed = {"VF_STACK": "s", "VF_PROCESS_ROOT": "/p", "VF_DRIVER": "process"}
    secrets = dict.fromkeys(("VF_JWT_SECRET", "VF_SANDBOX_SECRET", "VF_CREDENTIAL_KEY"), "s" * 32)
    told = {name: str(value) for name, value in gateway_environment(found).items()}
    assert read_gateway({**told, **needed, **secrets}).connections == found.connections


NARROW: Mapping[str, Any] = {"vpc_cidr": "10.0.0.0/24", "gateway_replicas_most": 100}
"""No single number is right for these: the network is too small for the gateways alone."""


@given(configured())
@example(replace(DEFAULTS["aws"], **NARROW))
@example(replace(DEFAULTS["aws"], **NARROW, sandboxes=10_000, interface_endpoints=True, zones=3))
@example(replace(DEFAULTS["aws"], **NARROW, nat="none", sandbox_internet=True, gateway_replicas=16))
@settings(max_examples=150, deadline=None)
def test_following_refusals_ends_at_what_is_taken(found: Settings) -> None:
    """The first way that a refusal tells, again and again."""
    for _ in range(3 * len(RULES)):
        message = refusal_of(found)
        if not message:
            return
        [first] = re.findall(r"^vaporforge:(\w+) is ", message)
        ways = re.findall(
            rf"(?:^vaporforge:({first}) is .*? it must be|set vaporforge:(\w+) to|or vaporforge:(\w+) to) "
            r"([\d./]+) (?:or more|at most|or wider)",
            message,
        )
        assert ways, message
        *names, value = ways[0]
        [key] = [name for name in names if name]
        changes: dict[str, Any] = {NAMES[key]: int(value) if value.isdigit() else value}
        found = replace(found, **changes)
    raise AssertionError(f"it goes on and on: {refusal_of(found)}")
