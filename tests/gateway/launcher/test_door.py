"""The published port: when its forwarder dies the proxy is restarted, and only then."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, cast

import pytest

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

    def containers(self, *, filters: dict[str, list[str]]) -> list[dict[str, str]]:
        stack, role = filters["label"]
        assert stack == "vaporforge.stack=s"
        name = role.removeprefix("vaporforge.role=")
        return [{"Id": name}] if name in self.health else []

    def inspect_container(self, name: str) -> dict[str, Any]:
        health = self.health[name]
        return {"Id": name, "State": {} if health is None else {"Health": {"Status": health}}}

    def restart(self, name: str, timeout: int) -> None:
        assert timeout > 0
        self.restarted.append(name)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def door(engine: Engine) -> Door:
    return Door(lambda: cast("APIClient", engine), "s")


def test_a_port_that_answers_no_longer_has_the_proxy_restarted_once(
    engine: Engine, door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    engine.health["watch"] = "healthy"
    assert not door.look()
    engine.health["watch"] = "unhealthy"
    assert door.look()
    assert engine.restarted == ["proxy"]
    assert "the published port does not answer" in caplog.text
    # It is not done again before it has helped.
    assert not door.look()
    engine.health["watch"] = "healthy"
    assert not door.look()
    engine.health["watch"] = "unhealthy"
    assert door.look()
    assert engine.restarted == ["proxy", "proxy"]


def test_a_port_that_never_answered_is_left_alone(engine: Engine, door: Door) -> None:
    engine.health["watch"] = "unhealthy"
    assert not any(door.look() for _ in range(5))
    assert engine.restarted == []


@pytest.mark.parametrize("proxy", ["unhealthy", "starting", None])
def test_a_proxy_that_is_not_well_is_not_the_forwarders_fault(
    engine: Engine, door: Door, proxy: str | None
) -> None:
    engine.health["watch"] = "healthy"
    door.look()
    engine.health |= {"watch": "unhealthy", "proxy": proxy}
    assert not door.look()
    assert engine.restarted == []


def test_a_stack_without_them_has_nothing_to_see_to(engine: Engine, door: Door) -> None:
    engine.health.clear()
    assert not door.look()


async def test_an_engine_that_is_away_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
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
        raise errors.SandboxUnavailable("The Docker engine does not answer")

    watching = asyncio.create_task(look_forever(look))
    async with asyncio.timeout(10):
        await enough.wait()
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    assert "could not be looked at" in caplog.text
