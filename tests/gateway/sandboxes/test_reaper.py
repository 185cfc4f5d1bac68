"""The reaper: which sandbox it stops, and which never."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import NotFound, StoreUnavailable
from gateway.sandboxes import agent_client, reaper
from gateway.sandboxes.agent_client import AgentClient, sandbox_client
from gateway.sandboxes.drivers import Sandbox, SandboxState
from gateway.sandboxes.reaper import Reaper
from gateway.sandboxes.snapshots import Snapshots
from gateway.sandboxes.uses import Uses
from tests.gateway.fakes import SESSION, FakeDriver, FakeStore, a_run, quick_settings, until, working
from tests.listening import listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def reaper_of(
    driver: FakeDriver, store: FakeStore, agent: Any, snapshots: Any = None, *, idle: float = 0
) -> Reaper:
    return Reaper(driver, store, agent, snapshots, idle=idle)  # type: ignore[arg-type]


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

    async def say_nothing(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Future()

    async with listening(say_nothing) as port:
        yield port


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


class Asked:
    """An agent server that agrees to retire, or never does; how often it was asked."""

    def __init__(self, *, agrees: bool = True) -> None:
        self._agrees = agrees
        self.asked = 0

    async def retire(self, _sandbox: Sandbox, *, idle: float) -> bool:
        self.asked += 1
        return self._agrees


IDLE = 600.0


@pytest.mark.parametrize(
    ("changes", "started"),
    [
        ({"active_run": "r1"}, 1.0),
        ({"updated_at": IDLE / 2}, 1.0),
        ({"used_at": IDLE / 2}, 1.0),
        ({}, IDLE / 2),
    ],
    ids=["a run is on", "a run ended lately", "a relay was open lately", "it started lately"],
)
async def test_a_sandbox_whose_session_is_in_use_is_not_even_asked(
    changes: dict[str, Any], started: float
) -> None:
    now = time.time()
    recent = {name: now - ago if name.endswith("_at") else ago for name, ago in changes.items()}
    store, driver, agent = FakeStore(a_run()), FakeDriver(), Asked()
    store.session = replace(store.session, **{"active_run": None, **recent})
    driver.started_at = now - started if started > 1 else started
    await reaper_of(driver, store, agent, idle=IDLE).reap()
    assert (agent.asked, driver.stops) == (0, 0)
    store.session = replace(store.session, active_run=None, updated_at=1.0, used_at=1.0)
    driver.started_at = 1.0
    await reaper_of(driver, store, agent, idle=IDLE).reap()
    assert (agent.asked, driver.stops) == (1, 1)


async def test_a_relay_that_is_open_at_any_gateway_keeps_its_sandbox() -> None:
    store, driver, agent = idle_store(), FakeDriver(), Asked(agrees=False)
    uses = Uses(store)  # type: ignore[arg-type]
    one = reaper_of(driver, store, agent, idle=IDLE)
    async with uses.hold(SESSION):
        for _ in range(reaper.BUSY_ROUNDS + 2):
            store.session = replace(store.session, used_at=1.0)  # that was long ago
            await uses.tell()
            await one.reap()
    assert (agent.asked, driver.stops) == (0, 0)


async def test_an_open_relay_is_told_again_and_again_and_once_more_at_its_end() -> None:
    store = idle_store()
    uses = Uses(store)  # type: ignore[arg-type]
    async with working(uses.tell_forever(idle=0.1)), uses.hold(SESSION):
        for _ in range(2):
            store.session = replace(store.session, used_at=1.0)
            await until(lambda: store.session.used_at > 1.0)
        store.session = replace(store.session, used_at=1.0)
    assert store.session.used_at > 1.0
    store.session = replace(store.session, used_at=1.0)
    await uses.tell()
    assert store.session.used_at == 1.0


async def test_a_use_that_the_store_does_not_hear_of_harms_no_relay() -> None:
    store = idle_store()
    store.away = StoreUnavailable("away")
    uses = Uses(store)  # type: ignore[arg-type]
    async with uses.hold(SESSION):
        await uses.tell()


async def test_refusals_are_counted_from_anew_once_the_session_was_in_use() -> None:
    store, driver, agent = idle_store(), FakeDriver(), Asked(agrees=False)
    one = reaper_of(driver, store, agent)
    for _ in range(reaper.BUSY_ROUNDS - 1):
        await one.reap()
    store.session = replace(store.session, active_run="r1")
    await one.reap()
    store.session = replace(store.session, active_run=None)
    for _ in range(reaper.BUSY_ROUNDS - 1):
        await one.reap()
    assert driver.stops == 0
    await one.reap()
    assert driver.stops == 1


async def test_a_prompt_that_comes_with_the_last_refusal_keeps_the_sandbox() -> None:
    store, driver = idle_store(), FakeDriver()

    class Prompted(Asked):
        async def retire(self, sandbox: Sandbox, *, idle: float) -> bool:
            store.session = replace(store.session, active_run="r1")
            return await super().retire(sandbox, idle=idle)

    one = reaper_of(driver, store, Prompted(agrees=False))
    one._busy[SESSION] = reaper.BUSY_ROUNDS
    await one.reap()
    assert driver.stops == 0


class Working(Asked):
    """An agent server that says for how long its jobs have been quiet, or fails to."""

    def __init__(self, quiet: float | Exception | None) -> None:
        super().__init__()
        self._quiet = quiet

    async def jobs_quiet(self, _sandbox: Sandbox) -> float | None:
        if isinstance(self._quiet, Exception):
            raise self._quiet
        return self._quiet


@pytest.mark.parametrize(
    ("quiet", "ago", "stops"),
    [
        (5.0, IDLE + 1, 0),
        (IDLE - 1, 2 * IDLE, 0),
        (5.0, 3 * IDLE, 1),
        (IDLE + 1, IDLE + 1, 1),
        (None, IDLE + 1, 1),
        (NotFound("odd"), IDLE + 1, 1),
    ],
    ids=["at work", "for long", "past the setting", "at rest", "no jobs", "an odd answer"],
)
async def test_jobs_that_work_keep_their_sandbox_up_to_the_setting(
    quiet: float | Exception | None, ago: float, stops: int
) -> None:
    driver, agent = FakeDriver(), Working(quiet)
    store = idle_store(updated_at=time.time() - ago, used_at=0.0)
    driver.started_at = 1.0
    one = Reaper(driver, store, agent, None, idle=IDLE, background=3 * IDLE)  # type: ignore[arg-type]
    for _ in range(reaper.BUSY_ROUNDS + 1):
        await one.reap()
        if driver.stops:
            break
    assert driver.stops == stops
