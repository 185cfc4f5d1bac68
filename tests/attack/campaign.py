"""One attack after another while good users are watched: a row for each, with a time without it as its control."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

from tests.attack.attack import Attack, Field, Found, Size
from tests.attack.memory import Memory
from tests.attack.scene import AttackError, Gate, Scene, exert
from tests.attack.watch import Figures, Watch

log = logging.getLogger(__name__)

CALM_SECONDS = 3.0
AFTER_SECONDS = 1.0
BESIDE_SECONDS = 5.0
QUIET_SECONDS = 15.0
QUIET_MS = 100.0
SETTLE_SECONDS = 8.0
GROWTH_MIB = 64.0
"""Memory that an attack may leave behind it in a service: allocators keep some."""

P99_FACTOR = 2.0
LARGEST_MS = 1000.0
ATTACK_SECONDS = 240.0
TAKEN_OVER = rb"session %s run \S+: (taken over|lease not renewed|the recorder failed)"


@dataclass
class Row:
    """One attack. `grown`: MiB that the service which grew most kept; `peak`: what it had most of meanwhile."""

    attack: Attack
    calm: Figures
    during: Figures
    found: Found
    peak: float
    grown: float
    load: float
    faults: list[str] = field(default_factory=list)
    beside: Figures | None = None
    """Without the attack, beside a process that computes as much as the attacker's did: where p99 asks for it."""

    @property
    def control_ms(self) -> float:
        """The p99 that this one's is held against."""
        return max(self.calm.p99_ms, self.beside.p99_ms if self.beside else 0.0)

    @property
    def held(self) -> bool:
        """Whether nobody noticed, and the attacker got nothing."""
        return not self.faults


class Campaign:
    """Makes `attacks` on `scene`, one at a time. `rows` has what was found so far."""

    def __init__(
        self,
        scene: Scene,
        attacks: Sequence[Attack],
        size: Size,
        http: aiohttp.ClientSession,
        *,
        calm: float = CALM_SECONDS,
    ) -> None:
        self.rows: list[Row] = []
        self.faults: list[str] = []
        self._scene = scene
        self._attacks = attacks
        self._size = size
        self._http = http
        self._calm = calm
        self._watch = Watch(scene, http)

    @property
    def held(self) -> bool:
        """Whether all did."""
        return not self.faults and all(row.held for row in self.rows)

    async def run(self) -> None:
        """Make them all; the streams of the good users are judged as wholes at the end."""
        async with self._watch.watching():
            await self._scene.meet(self._watch.users[0].session)
            for number, attack in enumerate(self._attacks, 1):
                log.info("%d/%d %s", number, len(self._attacks), attack.full_name)
                row = await self._make(attack)
                self.rows.append(row)
                for fault in row.faults:
                    log.info("    %s", fault)
            self.faults += [fault for user in self._watch.users for fault in user.faults()]

    async def _make(self, attack: Attack) -> Row:
        place = Field(self._scene, self._http, self._size)
        await self._quiet()
        calm_from = time.monotonic()
        await asyncio.sleep(self._calm)
        written = await self._scene.log_from_now()
        memory = Memory(await self._scene.processes())
        computed = await self._scene.attackers_cpu()
        begun = time.monotonic()
        async with memory.sampled():
            try:
                async with asyncio.timeout(ATTACK_SECONDS):
                    found = await attack.work(place)
            except (AttackError, TimeoutError, RuntimeError, aiohttp.ClientError) as error:
                found = Found("it could not be made to its end", [f"{type(error).__name__}: {error}"])
            await asyncio.sleep(AFTER_SECONDS)
        ended = time.monotonic()
        computed = await self._scene.attackers_cpu() - computed
        others = await self._watch.others_are_answered()
        grown = max((await memory.settled(GROWTH_MIB, SETTLE_SECONDS)).values(), default=0.0)
        row = Row(
            attack,
            self._watch.figures(calm_from, begun),
            self._watch.figures(begun, ended),
            found,
            max((memory.peak[name] - memory.before[name] for name in memory.peak), default=0.0),
            grown,
            os.getloadavg()[0],
        )
        if row.during.p99_ms > P99_FACTOR * row.control_ms:
            row.beside = await self._beside(max(0.0, computed) / (ended - begun))
        row.faults = [*noticed(row), *found.faults]
        if not others:
            row.faults.append("nobody new was answered where people come in")
        row.faults += self._leases(await written())
        if not await self._quiet():
            row.faults.append("the attackers' own address was not let in again")
        return row

    async def _beside(self, cores: float) -> Figures:
        """A time without attack, while as much is computed, at the same low priority."""
        await self._quiet()
        begun = time.monotonic()
        count = max(1, math.ceil(cores))
        share = min(1.0, cores / count)
        gate = Gate("neighbour", "127.0.0.1", 0)
        work = [exert(gate, "neighbour", seconds=BESIDE_SECONDS, share=share) for _ in range(count)]
        await asyncio.gather(*work)
        return self._watch.figures(begun, time.monotonic())

    async def _quiet(self) -> bool:
        """Wait until what came before is over: the control is a time in which nothing happens. Whether it is."""
        deadline = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < deadline:
            now = time.monotonic()
            seen = self._watch.figures(now - 1.0, now)
            quiet = seen.largest_ms < QUIET_MS and not seen.health_failed
            # Behind Docker's forwarder everybody has the attacker's address, and its refusals, for ten seconds.
            if quiet and await self._watch.front_answers():
                return True
            await asyncio.sleep(0.25)
        return await self._watch.front_answers()

    def _leases(self, text: bytes) -> list[str]:
        lost = [
            user.name
            for user in self._watch.users
            if re.search(TAKEN_OVER % re.escape(user.session).encode(), text)
        ]
        return [f"{name}'s run lost its lease" for name in lost]


def noticed(row: Row) -> list[str]:
    """What good users noticed of it that they must not."""
    during, control = row.during, row.control_ms
    faults = []
    if during.largest_ms > LARGEST_MS:
        faults.append(f"a good user's stream stood still for {during.largest_ms / 1000:.1f} s")
    if during.p99_ms > P99_FACTOR * control:
        faults.append(f"p99 {during.p99_ms:.0f} ms beside {control:.0f} without")
    if during.health_failed:
        faults.append(f"{during.health_failed} health checks failed")
    if row.grown > GROWTH_MIB:
        faults.append(f"memory: {row.grown:.0f} MiB more afterwards")
    return faults
