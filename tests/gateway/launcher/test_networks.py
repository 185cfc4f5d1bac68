"""A session's own network: made once, joined by every gateway, and gone with its sandbox."""

from __future__ import annotations

import asyncio
import ipaddress
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from docker import errors as docker_errors

from gateway import errors
from gateway.launcher import mending, spec
from gateway.launcher.networks import YOUNG_SECONDS, Networks
from gateway.launcher.settings import read_launcher_settings
from gateway.launcher.subnets import subnet_of
from tests.gateway.launcher.test_launcher import ENVIRON

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SETTINGS = read_launcher_settings(ENVIRON)
POOL = ipaddress.IPv4Network(SETTINGS.networks)
OLD = datetime.now(UTC) - timedelta(seconds=2 * YOUNG_SECONDS)


def name_of(session: str) -> str:
    return spec.network_name(SETTINGS, session)


class Engine:
    """The SDK's client, with networks and containers in memory. `joined`: by container, the networks of each."""

    def __init__(self) -> None:
        self.there: dict[str, dict[str, Any]] = {}
        self.joined: dict[str, dict[str, list[str]]] = {}
        self.down: set[str] = set()
        self.sandboxes: dict[str, str] = {}
        self.late = ""
        self.hidden: set[str] = set()

    def gateway(self, name: str, *, runs: bool = True) -> None:
        self.joined[name] = {"public": ["gateway"]}
        if not runs:
            self.down.add(name)

    def stranger(self, name: str, subnet: str) -> None:
        self.there[name] = {"Name": name, "Id": name, "Labels": {}, "IPAM": {"Config": [{"Subnet": subnet}]}}

    def members(self, session: str) -> set[str]:
        return {container for container, networks in self.joined.items() if name_of(session) in networks}

    def create_network(self, name: str, *, ipam: Any, labels: dict[str, str], **given: Any) -> None:
        [config] = ipam["Config"]
        wanted = ipaddress.IPv4Network(config["Subnet"])
        for network in self.there.values():
            for item in network["IPAM"]["Config"]:
                if wanted.overlaps(ipaddress.IPv4Network(item["Subnet"])):
                    raise docker_errors.APIError("Pool overlaps with other one on this address space")
        self.there[name] = {
            "Name": name,
            "Id": name,
            "Labels": labels,
            "IPAM": {"Config": [config]},
            "given": given,
            "Created": datetime.now(UTC).isoformat(),
        }

    def inspect_network(self, name: str) -> dict[str, Any]:
        if name in self.hidden:
            self.hidden.remove(name)
            raise docker_errors.NotFound("not seen yet")
        if name not in self.there:
            raise docker_errors.NotFound("none")
        on = [item for item, networks in self.joined.items() if name in networks and item not in self.down]
        return {**self.there[name], "Containers": {item: {} for item in on}}

    def networks(self, filters: Any = None) -> list[dict[str, Any]]:
        ours = [item for item in self.there.values() if item["Labels"] or filters is None]
        return list(ours)

    def containers(self, filters: Any, *, all: bool = False) -> list[dict[str, Any]]:  # noqa: A002 - the SDK's
        if f"{spec.ROLE_LABEL}=gateway" in filters["label"]:
            return [
                {"Id": item, "NetworkSettings": {"Networks": networks}}
                for item, networks in self.joined.items()
                if item.startswith("gateway") and (all or item not in self.down)
            ]
        return [
            {"State": state, "Labels": labels}
            for session, state in self.sandboxes.items()
            for labels in [spec.labels(SETTINGS, session)]
            if {f"{name}={value}" for name, value in labels.items()} >= set(filters["label"])
        ]

    def connect_container_to_network(self, container: str, name: str, aliases: list[str]) -> None:
        if name not in self.there or container not in self.joined:
            raise docker_errors.NotFound("none")
        if name in self.joined[container]:
            raise docker_errors.APIError("endpoint exists")
        self.joined[container][name] = aliases

    def disconnect_container_from_network(self, container: str, name: str, *, force: bool) -> None:
        assert force
        del self.joined[container][name]

    def remove_network(self, name: str) -> None:
        if self.late:
            self.connect_container_to_network(self.late, name, ["gateway"])
            self.late = ""
        if any(name in networks for networks in self.joined.values()):
            raise docker_errors.APIError("has active endpoints")
        del self.there[name]


@pytest.fixture
def engine() -> Engine:
    made = Engine()
    made.gateway("gateway-0")
    made.gateway("gateway-1")
    return made


@pytest.fixture
def networks(engine: Engine) -> Networks:
    return Networks(lambda: engine, SETTINGS)  # type: ignore[arg-type, return-value] # as far as it is used


def test_it_is_internal_without_the_host_and_told_apart_by_its_labels(
    engine: Engine, networks: Networks
) -> None:
    assert networks.ensure("a") == networks.ensure("a") == name_of("a")
    [made] = engine.there.values()
    assert made["Labels"] == spec.labels(SETTINGS, "a")
    assert made["given"]["internal"] is True
    assert made["given"]["options"] == {"com.docker.network.bridge.inhibit_ipv4": "true"}
    assert made["IPAM"]["Config"][0]["Subnet"] == str(subnet_of(POOL, 28, "a"))


def test_gateways_outside_of_containers_reach_it_from_the_host(engine: Engine) -> None:
    Networks(lambda: engine, replace(SETTINGS, from_host=True)).ensure("a")  # type: ignore[arg-type, return-value]
    [made] = engine.there.values()
    assert made["given"]["options"] == {}


def test_its_name_tells_nothing_of_the_session() -> None:
    assert "secret-session" not in name_of("secret-session")
    assert "secret-session" not in spec.container_name(SETTINGS, "secret-session")
    # What runs is found again while the stack's secrets are rotated.
    assert spec.network_name(replace(SETTINGS, sandbox_secret="t" * 32), "a") == name_of("a")
    assert spec.network_name(replace(SETTINGS, stack="other"), "a") != name_of("a")


def test_a_subnet_that_is_another_s_is_passed_over(engine: Engine, networks: Networks) -> None:
    first = subnet_of(POOL, 28, "a")
    engine.stranger("somebody's", str(first))
    networks.ensure("a")
    assert engine.there[name_of("a")]["IPAM"]["Config"][0]["Subnet"] == str(subnet_of(POOL, 28, "a", [first]))


def test_a_subnet_whose_network_is_just_going_is_asked_for_again(
    engine: Engine, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.launcher.networks.PAUSE_SECONDS", 0.0)
    engine.stranger("going", str(subnet_of(POOL, 28, "a")))
    listed = engine.networks

    def without(**given: Any) -> Any:
        engine.there.pop("going", None)  # the engine lists it no more, though it had its subnet a moment ago
        return listed(**given)

    monkeypatch.setattr(engine, "networks", without)
    networks.ensure("a")
    assert engine.there[name_of("a")]["IPAM"]["Config"][0]["Subnet"] == str(subnet_of(POOL, 28, "a"))


def test_a_subnet_that_the_engine_has_lost_count_of_is_passed_over(
    engine: Engine, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses it as taken for good, and lists nobody who has it: after a crash of the engine."""
    monkeypatch.setattr("gateway.launcher.networks.PAUSE_SECONDS", 0.0)
    first = subnet_of(POOL, 28, "a")
    create = engine.create_network

    def refuses(name: str, *, ipam: Any, **given: Any) -> None:
        if ipam["Config"][0]["Subnet"] == str(first):
            raise docker_errors.APIError("networks have overlapping IPv4")
        create(name, ipam=ipam, **given)

    monkeypatch.setattr(engine, "create_network", refuses)
    networks.ensure("a")
    assert engine.there[name_of("a")]["IPAM"]["Config"][0]["Subnet"] == str(subnet_of(POOL, 28, "a", [first]))


def test_another_refusal_is_told(engine: Engine, networks: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any, **__: Any) -> None:
        raise docker_errors.APIError("no space left on device")

    monkeypatch.setattr(engine, "create_network", refuses)
    with pytest.raises(docker_errors.APIError, match="no space left"):
        networks.ensure("a")


@pytest.mark.parametrize("state", ["created", "running", "paused"])
def test_one_whose_sandbox_was_started_again_meanwhile_stays(
    engine: Engine, networks: Networks, state: str
) -> None:
    """By another launcher, while this one was stopping the sandbox before it."""
    networks.ensure("a")
    networks.join("a")
    engine.sandboxes = {"a": state, "b": "exited"}
    networks.remove("a")
    assert engine.members("a") == {"gateway-0", "gateway-1"}
    engine.sandboxes["a"] = "exited"
    networks.remove("a")
    assert engine.there == {}


def test_where_another_launcher_made_it_meanwhile_it_is_that_one(engine: Engine, networks: Networks) -> None:
    networks.ensure("a")
    engine.hidden.add(name_of("a"))
    assert networks.ensure("a") == name_of("a")
    assert len(engine.there) == 1


def test_where_no_subnet_is_left_the_setting_is_named(engine: Engine, networks: Networks) -> None:
    engine.stranger("somebody's", "10.0.0.0/8")
    with pytest.raises(errors.SandboxUnavailable, match="sandboxNetworks"):
        networks.ensure("a")


def test_a_network_of_somebody_else_with_its_name_is_not_touched(engine: Engine, networks: Networks) -> None:
    engine.stranger(name_of("a"), "192.0.2.0/24")
    for call in (networks.ensure, networks.remove):
        with pytest.raises(errors.SandboxUnavailable, match="not of this stack"):
            call("a")
    assert list(engine.there) == [name_of("a")]


def test_every_gateway_that_runs_joins_by_the_name_that_sandboxes_call(
    engine: Engine, networks: Networks
) -> None:
    engine.gateway("gateway-down", runs=False)
    networks.ensure("a")
    networks.join("a")
    assert engine.members("a") == {"gateway-0", "gateway-1"}
    assert engine.joined["gateway-0"][name_of("a")] == ["gateway"]
    networks.join("a")
    engine.gateway("gateway-new")
    networks.join("a")
    assert engine.members("a") == {"gateway-0", "gateway-1", "gateway-new"}


def test_one_that_starts_is_put_on_all_of_them(engine: Engine, networks: Networks) -> None:
    for session in ("a", "b", "c"):
        networks.ensure(session)
        networks.join(session)
    assert networks.join_all() == 0
    engine.gateway("gateway-new")
    assert networks.join_all() == 3
    assert all("gateway-new" in engine.members(session) for session in ("a", "b", "c"))


def test_a_gateway_that_has_gone_keeps_nobody_else_out(
    engine: Engine, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks.ensure("a")
    gone = {"Id": "gateway-gone", "NetworkSettings": {"Networks": {}}}
    listed = engine.containers
    monkeypatch.setattr(engine, "containers", lambda **given: [gone, *listed(**given)])
    networks.join("a")
    assert engine.members("a") == {"gateway-0", "gateway-1"}


def test_it_goes_with_whoever_is_on_it(engine: Engine, networks: Networks) -> None:
    """One that does not run would not start again with a network that is gone."""
    networks.ensure("a")
    networks.join("a")
    engine.down.add("gateway-1")
    engine.joined["somebody"] = {name_of("a"): []}
    engine.gateway("gateway-new")
    engine.late = "gateway-new"
    networks.remove("a")
    assert engine.there == {}
    assert engine.members("a") == set()
    networks.remove("a")


def test_one_that_nobody_needs_is_found_once_it_is_old(engine: Engine, networks: Networks) -> None:
    engine.sandboxes = {"runs": "running", "starts": "created", "ended": "exited"}
    for session in ("runs", "starts", "ended", "lost", "young"):
        networks.ensure(session)
        engine.there[name_of(session)]["Created"] = OLD.isoformat()
    engine.there[name_of("young")]["Created"] = datetime.now(UTC).isoformat()
    assert sorted(networks.abandoned()) == ["ended", "lost"]


class Asked:
    """An engine that is asked to mend."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.away = True

    async def join_gateways(self) -> int:
        self.calls.append("join")
        if self.away:
            self.away = False
            raise errors.SandboxUnavailable("away")
        return 1

    async def abandoned(self) -> list[str]:
        return ["a", "b"]

    async def abandon(self, session: str) -> None:
        self.calls.append(session)


async def test_rounds_mend_under_the_session_s_lock_and_outlive_an_engine_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mending, "ROUND_SECONDS", 0)
    monkeypatch.setattr(mending, "ROUNDS_BETWEEN", 2)
    asked, done = Asked(), asyncio.Event()

    @asynccontextmanager
    async def lock(session: str) -> AsyncIterator[None]:
        asked.calls.append(f"lock {session}")
        yield
        if session == "b":
            done.set()

    rounds = asyncio.create_task(mending.mend_forever(asked, lock))  # type: ignore[arg-type] # as far as it is used
    await asyncio.wait_for(done.wait(), 10)
    rounds.cancel()
    await asyncio.wait([rounds])
    assert asked.calls[:6] == ["join", "join", "lock a", "a", "lock b", "b"]
