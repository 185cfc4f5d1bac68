"""A campaign: runs by many sessions, each seen by several readers, while cuts and faults follow a seeded schedule."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from dataclasses import dataclass

import aiohttp

from tests.chaos.api import Api
from tests.chaos.judge import Evidence, Verdict, judge_ends, judge_run
from tests.chaos.reader import EventReader, Net
from tests.chaos.target import Target
from tests.chaos.work import WEIGHTS, Kind, People, Watched

log = logging.getLogger(__name__)

USER = "chaos"
SETTINGS = {"VF_IDLE_MINUTES": "0.1"}
"""A sandbox that nobody uses for six seconds is reaped, and woken by the next prompt."""

TOLD_SECONDS = 20.0
ATTEMPTS = 20
"""As often as this a fault looks for something to break, such as a sandbox in the middle of a run."""

THANKLESS = 0.05
"""How often somebody is cut who got nothing since the last time; always, and on a slow machine nobody got anywhere."""

SIDE_BY_SIDE = 6
"""So many histories are asked for at a time when all is over."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to do: at least so many runs, cuts and faults, with `sessions` at work at a time, in `seconds` at most."""

    seed: int
    runs: int
    cuts: int
    faults: int
    sessions: int = 8
    seconds: float = 3600.0


class Campaign:
    """Carries out an order on a target; `verdict` and the counters tell what came of it."""

    def __init__(self, target: Target, order: Order, http: aiohttp.ClientSession) -> None:
        self.verdict = Verdict()
        self.done: Counter[str] = Counter()
        self.kinds: Counter[Kind] = Counter()
        self.cuts = 0
        self.seconds = 0.0
        self._target = target
        self._order = order
        self._random = random.Random(order.seed)
        net = Net(http, target.url, {"Authorization": f"Bearer {target.token(USER)}"})
        self._api = Api(net)
        self._people = People(net, self._api)
        self._sessions: list[str] = []
        self._started = 0
        self._over = False
        target.busy = self._busy

    async def run(self) -> Verdict:
        """Runs, cuts and faults side by side; then everything is looked at, deleted, and what is left counted."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._order.seconds), asyncio.TaskGroup() as work:
                teller = work.create_task(self._tell())
                async with asyncio.TaskGroup() as workers:
                    trouble = workers.create_task(self._trouble())
                    for index in range(self._order.sessions):
                        workers.create_task(self._work(index, trouble))
                teller.cancel()
        except TimeoutError:
            self._note_unfinished()
        log.info("judging %d runs", len(self._people.watched))
        await self._judge()
        self.seconds = time.monotonic() - began
        return self.verdict

    async def _work(self, index: int, trouble: asyncio.Task[None]) -> None:
        """Run after run, in a new session every few runs, until there were enough and all trouble is over."""
        dice = random.Random(f"{self._order.seed} {index}")
        session = ""
        while self._started < self._order.runs or not trouble.done():
            self._started += 1
            if not session or dice.random() < 0.25:
                session = await self._api.new_session()
                self._sessions.append(session)
            (kind,) = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))
            await self._people.run(session, dice, f"m{index}-{self._started}", kind)
            self.kinds[kind] += 1

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(TOLD_SECONDS)
            log.info("%d runs, %d cuts, %d faults", self._started, self.cuts, self.done.total())

    # -- trouble --
    async def _trouble(self) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(self._cut_all())
            both.create_task(self._fault_all())

    def _busy(self) -> list[tuple[str, str]]:
        return [(watched.session, watched.run) for watched in self._people.watched if watched.streaming]

    async def _cut_all(self) -> None:
        while self.cuts < self._order.cuts:
            await asyncio.sleep(self._random.uniform(0.02, 0.3))
            thankless = self._random.random() < THANKLESS
            readers = [reader for reader in self._people.live if thankless or reader.has_come_further]
            if any(reader.cut() for reader in self._random.sample(readers, len(readers))):
                self.cuts += 1

    async def _fault_all(self) -> None:
        dice = random.Random(self._order.seed + 1)
        faults, names = self._target.faults, list[str]()
        while self.done.total() < self._order.faults:
            if not names:
                names = list(faults)
                dice.shuffle(names)
            name = names.pop()
            for _ in range(ATTEMPTS):
                if await faults[name]():
                    self.done[name] += 1
                    break
                await asyncio.sleep(dice.uniform(0.1, 0.5))
            await asyncio.sleep(dice.uniform(0.1, 0.8))

    # -- afterwards --
    def _note_unfinished(self) -> None:
        self.verdict.find(f"not over after {self._order.seconds:.0f} s")
        for watched in self._people.watched:
            for reader in watched.readers:
                if not reader.history.ended:
                    self.verdict.stuck += 1
                    self.verdict.find(
                        f"session {watched.session} run {watched.run} reader {reader.history.name} waits at frame "
                        f"{len(reader.history.frames)} after {len(reader.history.openings)} connections"
                    )

    async def _judge(self) -> None:
        gate = asyncio.Semaphore(SIDE_BY_SIDE)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._evidence(watched, gate)) for watched in self._people.watched]
        for watched, evidence in zip(self._people.watched, asked, strict=True):
            judge_run(self.verdict, evidence.result())
            if watched.twin is not None and watched.twin.run != watched.run:
                self.verdict.find(f"one messageId made two runs: {watched.run} and {watched.twin.run}")
        judge_ends(self.verdict, self.done)
        async with asyncio.TaskGroup() as group:
            for session in self._sessions:
                group.create_task(self._delete(session, gate))
        left = await self._target.leftovers(self._sessions)
        self.verdict.leftovers = len(left)
        for what in left:
            self.verdict.find(f"left over: {what}")

    async def _delete(self, session: str, gate: asyncio.Semaphore) -> None:
        async with gate:
            state = await self._api.session(session)
            if state["activeRun"] or state["queue"]:
                self.verdict.stuck += 1
                self.verdict.find(f"session {session}: run {state['activeRun']} is still on")
            await self._api.delete(session)

    async def _evidence(self, watched: Watched, gate: asyncio.Semaphore) -> Evidence:
        async with gate:
            session, run = watched.session, watched.run
            mine = [message for message in await self._api.messages(session) if message["run"] == run]
            return Evidence(
                run=run,
                session=session,
                expected_text=watched.expected,
                histories=[reader.history for reader in watched.readers],
                recorded=await self._api.recorded(session, run) if run else [],
                written=await self._target.written(session, run),
                answers=[message["content"] for message in mine if message["role"] == "assistant"],
                questions=sum(message["role"] == "user" for message in mine),
                stop_asked=watched.stop_asked,
            )

    @property
    def event_readers(self) -> int:
        """How many of the readers read server-sent events."""
        return sum(
            isinstance(reader, EventReader) for watched in self._people.watched for reader in watched.readers
        )
