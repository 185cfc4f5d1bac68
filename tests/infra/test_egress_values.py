"""Egress as a stack is told it: what is refused at preview, by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.egress.hosts import BadHost, pattern_of
from gateway.egress.policy import expand
from infra.values import EGRESS_PRESETS, ConfigError, check_egress, egress_entries
from tests.conftest import ROOT

GOOD: dict[str, Any] = {
    "egress": "none",
    "internet": False,
    "given": False,
    "allow": "",
    "learn": False,
}


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({}, "none"),
        ({"egress": "registries", "given": True}, "registries"),
        ({"egress": "registries", "allow": "example.com"}, "registries"),
        ({"egress": "list", "allow": "example.com"}, "list"),
        ({"egress": "list", "learn": True}, "list"),
        ({"egress": "all"}, "all"),
        ({"internet": True}, "all"),
    ],
)
def test_what_egress_is(changes: dict[str, Any], level: str) -> None:
    assert check_egress(**{**GOOD, **changes}) == level


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"internet": True, "given": True},
            "vaporforge:sandboxInternet is true and vaporforge:egress is given",
        ),
        ({"internet": True, "given": True, "egress": "all"}, "set one of them"),
        ({"allow": "a.example"}, "vaporforge:egressAllow is given and vaporforge:egress is none"),
        (
            {"internet": True, "allow": "a.example"},
            "vaporforge:egressAllow is given and vaporforge:egress is all",
        ),
        ({"egress": "all", "learn": True}, "vaporforge:egressLearn is given and vaporforge:egress is all"),
        ({"egress": "list"}, "vaporforge:egressAllow is empty"),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_egress(**{**GOOD, **changes})
    assert said in str(refused.value)


GOOD_ENTRIES = [
    "example.com",
    "*.example.com",
    "Example.COM.",
    "xn--bcher-kva.example",
    "1.2.example",
    "a-b.c",
]
BAD_ENTRIES = [
    *(
        "localhost",
        "10.0.0.1",
        "*",
        "*.com",
        "a.*.com",
        "https://a.example",
        "a.example:443",
        "u@a.example",
        "a..b",
    ),
    *("-a.example", "bücher.example", "a.example/x", "127.1", "1.0x7f", "unknown", "a b.example", "[::1]"),
]


@pytest.mark.parametrize("entry", GOOD_ENTRIES)
def test_a_preview_takes_what_the_gateway_takes(entry: str) -> None:
    assert egress_entries(f"git, {entry},") == ["git", entry]
    assert pattern_of(entry)


@pytest.mark.parametrize("entry", BAD_ENTRIES)
def test_a_preview_refuses_what_the_gateway_refuses(entry: str) -> None:
    with pytest.raises(ValueError, match="is none") as refused:
        egress_entries(f"example.com,{entry}")
    assert repr(entry) in str(refused.value)
    with pytest.raises(BadHost):
        expand([entry])


def test_every_preset_may_be_named_and_the_file_has_its_date() -> None:
    kept = json.loads(EGRESS_PRESETS.read_text(encoding="utf-8"))
    names = [*kept["groups"], *kept["presets"]]
    assert egress_entries(",".join(names)) == names
    assert expand(names)
    assert len(kept["date"]) == len("2026-11-30")


def test_the_forward_proxy_is_built_with_the_go_of_the_lock() -> None:
    """Its build context is a folder of its own, so it has a copy."""
    kept = (ROOT / "infra" / "egress" / "requirements.txt").read_text(encoding="utf-8")
    assert kept == (ROOT / "scripts" / "lib" / "pulumi-cli" / "requirements.txt").read_text(encoding="utf-8")
