"""A soak: many sessions in fast motion (prompt, reap, wake, prompt, delete) while gateways restart; then no growth.

The first gateway lives through all of it and is measured, and so is a stack's launcher; the second gateway is restarted
again and again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import statistics
from collections.abc import Iterator, Mapping

import aiohttp

from tests.chaos.api import Api
from tests.chaos.campaign import USER
from tests.chaos.judge import Evidence, Verdict, judge_run
from tests.chaos.reader import Net, WebSocketReader
from tests.chaos.report import conclusion, promise_rows, table
from tests.chaos.target import Gauge, Target

log = logging.getLogger(__name__)

SETTINGS = {"VF_IDLE_MINUTES": "0.02"}
"""Sandboxes are reaped after a second and a bit."""

REAP_SECONDS = 240.0
SETTLE_SECONDS = 60.0
SAMPLES = 30
WARM_SHARE = 0.4
"""What the first of the samples say is warming up."""

MOST_GROWTH = 0.10
"""Resident memory may be this much more in the last third than right after the warm-up."""

SLACK_MIB = 6.0
MORE_FILES = 8
"""File descriptors more in the last third than right after the warm-up: pooled connections come and go."""


class Soak:
    """`run` does it and judges; `samples` tell how the services fared. `at_once`: sessions side by side."""

    def __init__(
        self, target: Target, http: aiohttp.ClientSession, *, sessions: int, at_once: int, seed: int
    ) -> None:
        self.verdict = Verdict()
        self.samples: list[Mapping[str, Gauge]] = []
        self.reaped = self.restarts = 0
        self._target = target
        self._count = sessions
        self._at_once = at_once
        self._seed = seed
        self._done = 0
        self._sessions: list[str] = []
        self._net = Net(http, target.url, {"Authorization": f"Bearer {target.token(USER)}"})
        self._api = Api(self._net)

    async def run(self) -> None:
        """All sessions, some side by side."""
        await self._sample()
        waiting = iter(range(self._count))
        async with asyncio.TaskGroup() as all_of_it:
            restarting = all_of_it.create_task(self._restart())
            async with asyncio.TaskGroup() as people:
                for _ in range(min(self._at_once, self._count)):
                    people.create_task(self._person(waiting))
            restarting.cancel()
        await self._settle()
        self._judge_growth()

    def lines(self) -> Iterator[str]:
        """The table."""
        yield f"seed {self._seed}, {self._count} sessions in fast motion"
        yield ""
        rows: list[tuple[str, object]] = [
            ("prompts", self.verdict.runs),
            ("sandboxes reaped and woken", self.reaped),
            ("restarts of the other gateway", self.restarts),
        ]
        for name, first in self.samples[0].items():
            (warm, late), (warm_files, late_files) = (
                self._medians(name, "memory_mib"),
                self._medians(name, "files"),
            )
            rows += [
                (f"{name}: files before, warm, late", f"{first.files} → {warm_files:g} → {late_files:g}"),
                (f"{name}: threads before, after", f"{first.threads} → {self.samples[-1][name].threads}"),
                (
                    f"{name}: memory before, warm, late",
                    f"{first.memory_mib:.1f} → {warm:.1f} → {late:.1f} MiB",
                ),
            ]
        yield from table([*rows, *promise_rows(self.verdict)])
        yield from conclusion(self.verdict)

    async def _person(self, waiting: Iterator[int]) -> None:
        for number in waiting:
            await self._live(random.Random(f"{self._seed} {number}"))
            self._done += 1
            if self._done % max(1, self._count // SAMPLES) == 0:
                await self._sample()
                log.info("%d sessions: %s", self._done, self.samples[-1])

    async def _live(self, dice: random.Random) -> None:
        """One session's whole life."""
        session = await self._api.new_session()
        self._sessions.append(session)
        for day in range(2):
            await self._ask(session, dice, f"day-{day}")
            if day == 0:
                await self._reaped(session)
        await self._api.delete(session)

    async def _ask(self, session: str, dice: random.Random, message: str) -> None:
        limit = dice.randint(20, 120)
        reader = WebSocketReader(
            self._net, session, "reader", prompt=f"count to {limit} every 2 ms", message_id=message
        )
        history = await reader.read()
        run = reader.run or ""
        await self._settled(session, run)
        mine = [item for item in await self._api.messages(session) if item["run"] == run]
        evidence = Evidence(
            run=run,
            session=session,
            expected_text="".join(f"{number} " for number in range(1, limit + 1)),
            histories=[history],
            recorded=await self._api.recorded(session, run),
            written=await self._target.written(session, run),
            answers=[item["content"] for item in mine if item["role"] == "assistant"],
            questions=sum(item["role"] == "user" for item in mine),
        )
        judge_run(self.verdict, evidence)

    async def _settled(self, session: str, run: str) -> None:
        """Its recorder may have died with the other gateway: then another one writes the end, a lease's time later."""
        async with asyncio.timeout(SETTLE_SECONDS):
            while (await self._api.session(session))["activeRun"] == run:
                await asyncio.sleep(0.2)

    async def _reaped(self, session: str) -> None:
        async with asyncio.timeout(REAP_SECONDS):
            while not await self._target.asleep(session):
                await asyncio.sleep(0.2)
        self.reaped += 1

    async def _restart(self) -> None:
        for number in range(1_000_000):
            await asyncio.sleep(10)
            await self._target.restart(number)
            self.restarts += 1

    async def _settle(self) -> None:
        """Wait for what ends by itself soon: sandboxes that are just being stopped."""
        left = await self._target.leftovers(self._sessions)
        for _ in range(int(SETTLE_SECONDS)):
            await self._sample()
            if not left:
                return
            await asyncio.sleep(1)
            left = await self._target.leftovers(self._sessions)
        self.verdict.leftovers = len(left)
        for what in left:
            self.verdict.find(f"left over: {what}")

    def _judge_growth(self) -> None:
        for name in self.samples[0]:
            warm, late = self._medians(name, "files")
            if late > warm + MORE_FILES:
                self.verdict.find(f"the {name} had {warm:g} files open, and then {late:g}")
            warm, late = self._medians(name, "memory_mib")
            if late > warm * (1 + MOST_GROWTH) + SLACK_MIB:
                self.verdict.find(f"the {name} grew from {warm:.1f} MiB to {late:.1f} MiB")

    def _medians(self, name: str, figure: str) -> tuple[float, float]:
        """The median of a service's figure right behind the warm-up, and that of the last third."""
        values: list[float] = [getattr(sample[name], figure) for sample in self.samples]
        third = max(1, len(values) // 3)
        start = int(len(values) * WARM_SHARE)
        return statistics.median(values[start : start + third]), statistics.median(values[-third:])

    async def _sample(self) -> None:
        self.samples.append(await self._target.gauges())
