"""Snapshots behind runs: one at a time a session, one for all that ended meanwhile, and none where nothing changed."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from gateway import errors
from gateway.ids import new_id
from gateway.sandboxes import run_snapshots
from gateway.sandboxes.drivers import Sandbox, SandboxState
from gateway.sandboxes.drivers.process import ProcessDriver
from gateway.sandboxes.run_snapshots import AT_ONCE, RunSnapshots
from gateway.sandboxes.snapshots import Taken
from gateway.store.blobs.folder import FolderBlobs
from tests.gateway.fakes import until
from tests.gateway.stack import Stack, assert_whole, text_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WRITE = "Create a file called a.txt with 'kept' (every 0 ms)"


class Live:
    """Every session has a sandbox that runs, but those in `stopped`."""

    def __init__(self) -> None:
        self.stopped: set[str] = set()

    async def status(self, session: str) -> Sandbox:
        state = SandboxState.STOPPED if session in self.stopped else SandboxState.RUNNING
        return Sandbox(session=session, state=state)


class Taking:
    """Takes snapshots that last until they are let go. `outcomes`: what the first ones come to."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.on: Counter[str] = Counter()
        self.most = 0
        self.go = asyncio.Event()
        self.outcomes: list[Taken | Exception] = []
        self.looked_up: list[str] = []

    async def take_between_runs(self, sandbox: Sandbox) -> Taken:
        self.on[sandbox.session] += 1
        self.most = max(self.most, self.on.total())
        assert self.on[sandbox.session] == 1
        try:
            await self.go.wait()
        finally:
            self.on[sandbox.session] -= 1
        self.taken[sandbox.session] += 1
        outcome = self.outcomes.pop(0) if self.outcomes else Taken.DONE
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def delete_if_gone(self, session: str, _store: object) -> None:
        self.looked_up.append(session)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_snapshots, "PAUSES", (0.0, 0.001, 0.001))


def behind(taking: Taking, driver: Live | None = None) -> RunSnapshots:
    driver = driver or Live()
    return RunSnapshots(driver, None, taking)  # type: ignore[arg-type]


async def test_runs_that_end_meanwhile_have_one_more_together() -> None:
    taking = Taking()
    snapshots = behind(taking)
    snapshots.run_ended("s1")
    await until(lambda: taking.on["s1"] == 1)
    for _ in range(5):
        snapshots.run_ended("s1")
    taking.go.set()
    await until(lambda: not snapshots._taking)
    assert taking.taken["s1"] == 2
    assert taking.looked_up == ["s1", "s1"]
    snapshots.run_ended("s1")
    await until(lambda: taking.taken["s1"] == 3)


async def test_only_some_are_taken_at_once() -> None:
    taking = Taking()
    snapshots = behind(taking)
    for number in range(3 * AT_ONCE):
        snapshots.run_ended(f"s{number}")
    await until(lambda: taking.on.total() == AT_ONCE)
    taking.go.set()
    await until(lambda: not snapshots._taking)
    assert (taking.taken.total(), taking.most) == (3 * AT_ONCE, AT_ONCE)


@pytest.mark.parametrize(
    ("outcomes", "tries"),
    [
        ([Taken.REFUSED], 2),
        ([Taken.FAILED, Taken.REFUSED], 3),
        ([Taken.FAILED] * 9, 3),
        ([errors.SandboxUnavailable("gone")], 1),
        ([ValueError("ours")], 1),
    ],
)
async def test_it_is_tried_three_times_and_harms_nobody(outcomes: list[Any], tries: int) -> None:
    taking = Taking()
    taking.outcomes = outcomes
    taking.go.set()
    snapshots = behind(taking)
    snapshots.run_ended("s1")
    await until(lambda: not snapshots._taking)
    assert taking.taken["s1"] == tries


async def test_a_sandbox_that_has_stopped_is_not_asked() -> None:
    taking, driver = Taking(), Live()
    driver.stopped.add("s1")
    snapshots = behind(taking, driver)
    snapshots.run_ended("s1")
    await until(lambda: not snapshots._taking)
    assert taking.taken == {}


async def test_closing_breaks_them_off() -> None:
    taking = Taking()
    snapshots = behind(taking)
    for name in ("s1", "s2"):
        snapshots.run_ended(name)
    await until(lambda: taking.on.total() == 2)
    snapshots.run_ended("s1")
    await snapshots.close()
    await snapshots.close()
    assert (taking.on.total(), snapshots._taking) == (0, {})


@pytest.fixture
async def without_volumes(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A gateway whose settings are of sandboxes without volumes, with snapshots in a folder."""
    blobs = f"folder:{tmp_path / 'blobs'}"
    root = tmp_path / "sandboxes"
    async with Stack(dynamodb_endpoint, f"test-{new_id()}", root, driver="ecs", blobs=blobs) as stack:
        yield stack


def kept(stack: Stack) -> list[str]:
    root = stack.settings.blobs.removeprefix("folder:")
    return sorted(name for _, _, names in os.walk(root) for name in names if not name.startswith("."))


async def test_a_host_that_is_lost_behind_a_run_costs_nothing(without_volumes: Stack) -> None:
    stack = without_volumes
    session = await stack.session()
    assert_whole(await stack.ask(session, WRITE))
    await until(lambda: kept(stack) == [session])
    driver = ProcessDriver(stack.settings, stack.root)
    await driver.delete(session)
    await driver.close()
    assert "kept" in text_of(await stack.ask(session, "read the file a.txt (every 0 ms)"))


async def test_the_reaper_keeps_nothing_again_that_is_kept(
    without_volumes: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = without_volumes
    session = await stack.session()
    puts: Counter[str] = Counter()
    real = FolderBlobs.put

    async def put(self: FolderBlobs, name: str, content: Any) -> int:
        size = await real(self, name, content)
        puts[name] += 1
        return size

    monkeypatch.setattr(FolderBlobs, "put", put)
    await stack.ask(session, WRITE)
    await until(lambda: puts[session] == 1)
    await stack.quiet(session)
    await stack.gateways[0].reaper().reap()
    assert (await stack.gateways[0].runs.driver.status(session)).state is SandboxState.STOPPED
    assert puts == {session: 1}


async def test_volumes_have_none_behind_each_run(dynamodb_endpoint: str, tmp_path: Path) -> None:
    blobs = f"folder:{tmp_path / 'blobs'}"
    async with Stack(dynamodb_endpoint, f"test-{new_id()}", tmp_path / "sandboxes", blobs=blobs) as stack:
        session = await stack.session()
        told: list[str] = []
        ended = stack.gateways[0].runs.when_ended

        def note(name: str) -> None:
            told.append(name)
            ended(name)

        stack.gateways[0].runs.when_ended = note
        await stack.ask(session, WRITE)
        await until(lambda: told == [session])
        await stack.quiet(session)
        assert kept(stack) == []
