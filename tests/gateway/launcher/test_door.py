"""The published port: when its forwarder dies the proxy is restarted, and only then."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, cast

import pytest
from docker import errors as docker_errors

from gateway import errors
from gateway.launcher import door as door_module
from gateway.launcher.door import Door, look_forever

if TYPE_CHECKING:
    from docker import APIClient


class Engine:
    """What a `Door` asks of Docker's client."""

    def __init__(self) -> None:
        self.health: dict[str, str | None] = {"watch": "starting", "proxy": "healthy"}
        self.restarted: list[str] = []
        self.started: list[str] = []
        self.status = "running"
        self.now = 100.0
        self.refusing = 0

    def containers(self, *, filters: dict[str, list[str]]) -> list[dict[str, str]]:
        stack, role = filters["label"]
        assert stack == "vaporforge.stack=s"
        name = role.removeprefix("vaporforge.role=")
        running = name in self.health and (name != "proxy" or self.status == "running")
        return [{"Id": name}] if running else []

    def inspect_container(self, name: str) -> dict[str, Any]:
        if name not in self.health:
            raise docker_errors.NotFound("No such container")
        health = self.health[name]
        state = {"Status": self.status if name == "proxy" else "running"}
        return {"Id": name, "State": state if health is None else {**state, "Health": {"Status": health}}}

    def restart(self, name: str, timeout: int) -> None:
        assert timeout > 0
        self._refuse()
        self.restarted.append(name)

    def start(self, name: str) -> None:
        self._refuse()
        self.started.append(name)
        self.status = "running"

    def _refuse(self) -> None:
        if self.refusing:
            self.refusing -= 1
            raise docker_errors.APIError("port is already allocated")


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def door(engine: Engine) -> Door:
    return Door(lambda: cast("APIClient", engine), "s", lambda: engine.now)


def looked(engine: Engine, door: Door, number: int = 3, apart: float = 10.0) -> list[bool]:
    """What so many looks did, each so many seconds after the one before."""
    did = []
    for _ in range(number):
        engine.now += apart
        did.append(door.look())
    return did


def dead_port(engine: Engine, door: Door) -> None:
    """A port that has answered and does so no longer, of a proxy that is well."""
    engine.health |= {"watch": "healthy", "proxy": "healthy"}
    assert not door.look()
    engine.health["watch"] = "unhealthy"


def test_a_port_that_answers_no_longer_has_the_proxy_restarted_once(
    engine: Engine, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    dead_port(engine, door)
    assert looked(engine, door) == [False, False, True]
    assert engine.restarted == ["proxy"]
    assert "the published port does not answer" in caplog.text
    # It is not done again before it has helped.
    assert not any(looked(engine, door, 5))
    dead_port(engine, door)
    assert looked(engine, door) == [False, False, True]
    assert engine.restarted == ["proxy", "proxy"]


def test_a_watch_that_has_not_yet_asked_again_restarts_nothing(engine: Engine, door: Door) -> None:
    dead_port(engine, door)
    for _ in range(4):
        engine.health["proxy"] = "unhealthy"
        assert not any(looked(engine, door))
        engine.health["proxy"] = "healthy"
        assert not any(looked(engine, door, 2))
    engine.health["watch"] = "healthy"
    assert not any(looked(engine, door))
    assert engine.restarted == []


def test_looks_that_come_quickly_are_not_enough(engine: Engine, door: Door) -> None:
    dead_port(engine, door)
    assert not any(looked(engine, door, 3, 1.0))
    assert looked(engine, door, 2) == [False, True]


def test_a_restart_that_failed_is_tried_again(engine: Engine, door: Door) -> None:
    dead_port(engine, door)
    engine.refusing = 1
    with pytest.raises(docker_errors.APIError):
        looked(engine, door)
    assert engine.restarted == []
    assert looked(engine, door) == [False, False, True]
    assert engine.restarted == ["proxy"]


def test_a_proxy_that_a_failed_restart_left_ended_is_started(engine: Engine, door: Door) -> None:
    dead_port(engine, door)
    engine.refusing = 2
    with pytest.raises(docker_errors.APIError):
        looked(engine, door)
    engine.status = "exited"
    with pytest.raises(docker_errors.APIError):
        door.look()
    assert door.look()
    assert engine.started == ["proxy"]
    assert not any(looked(engine, door, 5))
    assert engine.restarted == []


def test_a_proxy_that_somebody_else_ended_stays_so(engine: Engine, door: Door) -> None:
    dead_port(engine, door)
    assert looked(engine, door) == [False, False, True]
    engine.status = "exited"
    assert not any(looked(engine, door, 5))
    assert engine.started == []


def test_a_proxy_that_is_gone_after_a_failed_restart_is_forgotten(engine: Engine, door: Door) -> None:
    dead_port(engine, door)
    engine.refusing = 1
    with pytest.raises(docker_errors.APIError):
        looked(engine, door)
    del engine.health["proxy"]
    assert not any(looked(engine, door, 5))
    engine.health["proxy"] = "unhealthy"
    engine.status = "exited"
    assert not any(looked(engine, door, 5))
    assert engine.started == []


def test_a_proxy_that_is_replaced_meanwhile_is_not_lost_count_of(
    engine: Engine, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is listed once a look: what is restarted is what was found to be well."""
    dead_port(engine, door)
    looked(engine, door, 2)
    listed, asked = engine.containers, []

    def once(*, filters: dict[str, list[str]]) -> list[dict[str, str]]:
        asked.append(filters["label"][1])
        return listed(filters=filters) if asked.count(asked[-1]) == 1 else []

    monkeypatch.setattr(engine, "containers", once)
    assert looked(engine, door, 1) == [True]
    assert engine.restarted == ["proxy"]


def test_a_port_that_never_answered_is_left_alone(engine: Engine, door: Door) -> None:
    engine.health["watch"] = "unhealthy"
    assert not any(looked(engine, door, 5))
    assert engine.restarted == []


@pytest.mark.parametrize("proxy", ["unhealthy", "starting", None])
def test_a_proxy_that_is_not_well_is_not_the_forwarders_fault(
    engine: Engine, door: Door, proxy: str | None
) -> None:
    dead_port(engine, door)
    engine.health["proxy"] = proxy
    assert not any(looked(engine, door, 5))
    assert engine.restarted == []


def test_a_stack_without_them_has_nothing_to_see_to(engine: Engine, door: Door) -> None:
    engine.health.clear()
    assert not door.look()


@pytest.mark.parametrize("failure", [errors.SandboxUnavailable("The engine does not answer"), KeyError("Id")])
async def test_a_look_that_fails_is_not_the_last(
    failure: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(door_module, "LOOK_SECONDS", 0.01)
    looks = 0
    enough = asyncio.Event()

    async def look() -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:
            enough.set()
        raise failure

    watching = asyncio.create_task(look_forever(look))
    async with asyncio.timeout(10):
        await enough.wait()
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    assert "could not be looked at" in caplog.text
