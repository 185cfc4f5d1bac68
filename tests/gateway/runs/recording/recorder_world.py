"""Two gateways that share a table and one session's sandbox, a clock that is set by hand, and what went wrong."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING
from unittest import mock

from gateway import errors
from gateway.concurrency.backoff import Backoff
from gateway.ids import new_id
from gateway.model import RunState, Session
from gateway.runs import follower, service, signals, sweeper
from gateway.runs.recording import intake, reading, recorder, run_lease, watchdog
from gateway.runs.service import RunService
from gateway.runs.stats import Stats
from gateway.runs.sweeper import sweep
from gateway.sandboxes.agent_client import sandbox_client
from gateway.store.dynamo import DynamoStore
from tests.gateway.fault_proxy import FaultProxy, Faults
from tests.gateway.sandbox_double import SandboxDouble
from tests.gateway.stack import settings_for
from tests.gateway.store.store_table import RETRY_SECONDS, patiently
from tests.gateway.store.watched_store import Generations, WatchedStore, Wrongs

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from gateway.config import Settings
    from gateway.model import Admission, OnBusy

LEASE = 0.6
"""Seconds of the world's clock; a third of it, in real time, is how often a lease is renewed."""

START = 60.0
"""Seconds of the world's clock for which a silent sandbox is borne."""

WATCHED = ("gateway", "container.runs.service")
"""Loggers whose errors are wrongs. The agent server's own tell of connections that were cut, too."""

STOP = 0.5
"""Seconds, in real time, within which a run must stop: less than a sandbox may be silent for."""

QUEUE = 2
USER = "ada"


class Place:
    """Where a gateway runs. Its table, proxy and client stay; the gateway may die, and another one takes its place."""

    runs: RunService
    client: aiohttp.ClientSession

    def __init__(self, world: World, settings: Settings) -> None:
        self._world = world
        self._settings = settings
        self.proxy = FaultProxy(settings.dynamodb_endpoint, seed=11)
        self.counted = {"run": 0, "queued": 0, "refused": 0, "duplicates": 0}
        """What this gateway's clients were told."""

    async def open(self) -> None:
        await self.proxy.__aenter__()
        settings = settings_for(self.proxy.url, self._settings.table)
        world = self._world
        self.store = WatchedStore(settings, world.clock, world.generations, world.wrongs)
        with patiently(self.store):
            await self.store.open()
        self.client = sandbox_client()

    async def close(self) -> None:
        await self.client.close()
        await self.store.close()
        await self.proxy.__aexit__(None, None, None)

    def boot(self) -> None:
        """A new gateway."""
        self.store.thaw()
        self.runs = RunService(
            self._settings,
            self.store,
            self._world.sandbox,
            self.client,
            Stats(),
        )
        self.counted = dict.fromkeys(self.counted, 0)

    def is_recording(self) -> bool:
        """Whether a run's frames come to this gateway."""
        return any(
            recorder.sandbox is not None and recorder.run.state is RunState.RUNNING
            for recorder in self.runs.recorders.values()
        )

    def crash(self) -> None:
        """As SIGKILL does: no flush, no lease given back, nothing said to anybody. Another one starts."""
        runs = self.runs
        for driving in runs.recorders.values():
            driving.hand_over = _nothing  # type: ignore[method-assign]
        for task in [*runs._tasks.values(), *runs._warming.values(), *runs._submits]:
            task.cancel()
        runs.drained.set()
        self.boot()

    async def drain(self) -> None:
        """As SIGTERM does. Another one starts beside it."""
        draining = self.runs
        self.boot()
        await draining.drain()

    def check_leases(self) -> None:
        """It records what it has the lease of, or had."""
        for driving in self.runs.recorders.values():
            assert driving.run.lease_owner == self.runs.gateway, (
                f"recorded by {self.runs.gateway}: {driving.run}"
            )

    def check_counters(self) -> None:
        """What the gateway counts is what its clients were told."""
        prompts = self.runs.stats.prompts()
        assert prompts["received"] == prompts["run"] + prompts["queued"] + prompts["refused"]
        assert prompts["admitting"] == 0
        assert {name: prompts[name] for name in self.counted} == self.counted


async def _nothing() -> None:
    return None


class World:
    """What outlives one example, and one session at a time."""

    sandbox: SandboxDouble
    session: Session

    def __init__(self, endpoint: str, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.wrongs = Wrongs()
        self.generations = Generations()
        self._offset = 0.0
        self._began = time.time()
        self._folder = folder
        self._patches = ExitStack()
        self._hurry()
        self.settings = settings_for(
            endpoint,
            f"recorders-{new_id()}",
            lease_seconds=LEASE,
            start_seconds=START,
            queue_limit=QUEUE,
            drain_seconds=4.0,
            stop_seconds=STOP,
            sandboxes=0,  # its driver is one sandbox
            sandboxes_per_user=0,
        )
        self.observer = DynamoStore(self.settings, clock=self.clock, retry_seconds=RETRY_SECONDS)
        self.runner.run(self.observer.open())
        self.places = [Place(self, self.settings) for _ in range(2)]
        for place in self.places:
            self.runner.run(place.open())
        for name in WATCHED:
            logging.getLogger(name).addHandler(self.wrongs)

    def close(self) -> None:
        for name in WATCHED:
            logging.getLogger(name).removeHandler(self.wrongs)
        for place in self.places:
            self.runner.run(place.close())
        self.runner.run(self.observer.close())
        self.runner.close()
        self._patches.close()

    def clock(self) -> float:
        """Epoch seconds; they pass only when the test says so."""
        return self._began + self._offset

    def pass_time(self, seconds: float) -> None:
        self._offset += seconds

    def _hurry(self) -> None:
        """One clock for all that leases and watchdogs depend on, and short pauses where nothing depends on them."""
        clock = SimpleNamespace(time=self.clock, monotonic=lambda: self._offset)
        for module in (run_lease, sweeper, service, watchdog, reading, recorder):
            self._patches.enter_context(mock.patch.object(module, "time", clock))
        self._patches.enter_context(mock.patch.object(Backoff, "next", return_value=0.01))
        self._patches.enter_context(mock.patch.object(intake, "FLUSH_SECONDS", 0.03))
        self._patches.enter_context(mock.patch.object(recorder, "HAND_OVER_SECONDS", 1.0))
        for name, seconds in (
            ("LOOK_SECONDS", 0.03),
            ("STATUS_DELAY_SECONDS", 0.02),
            ("SETTLE_SECONDS", 0.3),
        ):
            self._patches.enter_context(mock.patch.object(follower, name, seconds))
        self._patches.enter_context(mock.patch.object(signals, "STOP_SECONDS", 0.5))

    # -- one session --
    async def begin(self) -> None:
        """A new session, its sandbox, and two gateways."""
        name = new_id()
        self.wrongs.found.clear()
        now = self.clock()
        self.session = await self.observer.create_session(
            Session(id=name, owner=USER, title="", created_at=now, updated_at=now)
        )
        self.sandbox = SandboxDouble(name, self.settings.sandbox_secret, self._folder / name)
        for place in self.places:
            place.boot()

    async def end(self) -> None:
        """Drain the gateways, end the sandbox, and delete the session. Raises TimeoutError naming tasks that stay."""
        await asyncio.gather(*(place.runs.drain() for place in self.places))
        await self.sandbox.close()
        for place in self.places:
            await place.proxy.settle()
        await self.observer.delete_session(self.session.id)
        left: list[str] = []
        try:
            async with asyncio.timeout(60):
                while left := _tasks():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise TimeoutError(f"tasks are left: {left}") from None

    def heal(self) -> None:
        """Whatever is the matter is over."""
        self.sandbox.reachable = self.sandbox.commanded = True
        for place in self.places:
            place.store.thaw()
            place.proxy.faults = Faults()

    # -- what is asked of a gateway --
    async def submit(self, place: Place, message: str, on_busy: OnBusy) -> Admission:
        """Send a prompt, and count what became of it."""
        runs, counted = place.runs, place.counted
        fields = {"prompt": f"prompt {message}", "messageId": message, "onBusy": on_busy.value}
        try:
            admission = await runs.submit(self.session, USER, fields)
        except errors.VaporForgeError:
            counted["refused"] += 1
            raise
        counted["queued" if admission.position else "run"] += 1
        counted["duplicates"] += admission.duplicate
        return admission

    async def sweep(self, place: Place) -> None:
        """One look."""
        await sweep(place.runs)


def _tasks() -> list[str]:
    """The tasks that are neither this one nor a server's connection, which end with their peer."""
    return [
        f"{task.get_name()} {task.get_coro()}"
        for task in asyncio.all_tasks()
        if task is not asyncio.current_task()
        and getattr(task.get_coro(), "__qualname__", "") != "RequestHandler.start"
    ]
