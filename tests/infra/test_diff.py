"""What the stand-in plugin takes for a change: never what a provider chose itself."""

from __future__ import annotations

from infra.plugin.diff import diff
from infra.plugin.standin import STAND_IN

NETWORK = STAND_IN.types["docker:index/network:Network"].traits
CONTAINER = STAND_IN.types["docker:index/container:Container"].traits


def test_what_the_official_plugin_filled_in_is_no_change() -> None:
    official = {
        "__defaults": ["name", "networkMode", "logs", "containerReadRefreshTimeoutMilliseconds"],
        "name": "a-1",
        "image": "a:1",
        "networkMode": "bridge",
        "logs": False,
        "containerReadRefreshTimeoutMilliseconds": 15000,
        "labels": [{"__defaults": [], "label": "a", "value": "b"}],
        "ports": [{"__defaults": ["protocol"], "internal": 1, "protocol": "tcp"}],
    }
    ours = {
        "__defaults": ["name", "networkMode"],
        "name": "a-1",
        "image": "a:1",
        "networkMode": "bridge",
        "labels": [{"label": "a", "value": "b"}],
        "ports": [{"internal": 1}],
    }
    assert not diff(CONTAINER, official, ours).diffs
    assert list(diff(CONTAINER, official, {**ours, "image": "a:2"}).replaces) == ["image"]


def test_a_state_without_the_defaults_is_not_replaced_for_them() -> None:
    before = {"__defaults": ["name"], "name": "a-1", "driver": "bridge"}
    assert not diff(
        NETWORK, before, {**before, "__defaults": ["ipamDriver", "name"], "ipamDriver": "default"}
    ).diffs


def test_a_default_in_place_of_what_the_user_gave_is_a_change() -> None:
    before = {"__defaults": ["name"], "name": "a-1", "image": "a:1", "networkMode": "host"}
    after = {"__defaults": ["name", "networkMode"], "name": "a-1", "image": "a:1", "networkMode": "bridge"}
    assert list(diff(CONTAINER, before, after).replaces) == ["networkMode"]
