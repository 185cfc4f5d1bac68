"""The reaper: which sandbox it stops, and which never."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.sandboxes import agent_client, reaper
from gateway.sandboxes.agent_client import AgentClient, sandbox_client
from gateway.sandboxes.drivers import Sandbox, SandboxState
from gateway.sandboxes.reaper import Reaper
from gateway.sandboxes.snapshots import Snapshots
from gateway.sandboxes.uses import Uses
from tests.gateway.fakes import SESSION, FakeDriver, FakeStore, a_run, quick_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def reaper_of(driver: FakeDriver, store: FakeStore, agent: Any, snapshots: Any = None) -> Reaper:
    return Reaper(driver, store, agent, snapshots, uses=Uses(store), idle=0)  # type: ignore[arg-type]


def idle_store(**changes: Any) -> FakeStore:
    """Its session has no run on."""
    store = FakeStore(a_run())
    store.session = replace(store.session, active_run=None, **changes)
    return store


class NoBlobs:
    """Nothing is kept, and nothing is there."""

    async def list(self, **_: Any) -> list[str]:
        return []


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """It takes connections and never answers."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()


class At(FakeDriver):
    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    @property
    def sandbox(self) -> Sandbox:
        return Sandbox(
            session=SESSION,
            state=SandboxState.RUNNING,
            host="127.0.0.1",
            port=self._port,
            started_at=self.started_at,
        )


async def test_a_sandbox_that_answers_nobody_is_stopped_with_snapshots_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agent_client, "HEAD_SECONDS", 0.05)
    monkeypatch.setattr(reaper, "SILENT_ROUNDS", 2)
    async with silent_server() as port, sandbox_client() as client:
        agent = AgentClient(client, "x" * 32)
        driver = At(port)
        snapshots = Snapshots(quick_settings(), NoBlobs(), agent)  # type: ignore[arg-type]
        one = reaper_of(driver, idle_store(), agent, snapshots)
        async with asyncio.timeout(30):
            for stops in (0, 0, 1):
                await one.reap()
                assert driver.stops == stops


class Idle:
    """An agent server that retires; meanwhile its sandbox is replaced, or not."""

    def __init__(self, driver: FakeDriver, *, replaced: bool) -> None:
        self._driver, self._replaced = driver, replaced

    async def retire(self, _sandbox: Sandbox, *, idle: float) -> bool:
        if self._replaced:
            self._driver.started_at += 1
        return True


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_successor_of_the_retired_sandbox_is_left_alone(replaced: bool) -> None:
    class Listing(FakeDriver):
        async def list(self) -> list[Sandbox]:
            # Docker tells of one when it was made, and of all only to the second.
            return [Sandbox(session=SESSION, state=SandboxState.RUNNING, started_at=0.5)]

    driver = Listing()
    agent = Idle(driver, replaced=replaced)
    await reaper_of(driver, idle_store(), agent).reap()
    assert driver.stops == (0 if replaced else 1)
