"""What people do: runs that are watched by several tabs, stopped, paused, sent twice, two at a time."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from enum import StrEnum

from tests.chaos.api import Api
from tests.chaos.reader import EventReader, Net, Reader, WebSocketReader

RESUME_SECONDS = 1.0


class Kind(StrEnum):
    """What is done with a run; the value is the table's row."""

    PLAIN = "plain"
    STOPPED = "runs stopped by another tab"
    PAUSED = "runs paused and resumed by another tab"
    TWICE = "prompts sent twice with one messageId"
    QUEUED = "pairs of prompts at once in one session"


WEIGHTS = {Kind.PLAIN: 68, Kind.STOPPED: 8, Kind.PAUSED: 8, Kind.TWICE: 8, Kind.QUEUED: 8}


@dataclass
class Watched:
    """One run as it is watched. `readers[0]` started it, and `twin` did with the same messageId."""

    session: str
    expected: str
    readers: list[Reader] = field(default_factory=list)
    twin: Reader | None = None
    stop_asked: bool = False

    @property
    def run(self) -> str:
        """Its id, empty while nobody knows it."""
        return self.readers[0].run or ""

    @property
    def streaming(self) -> bool:
        """Whether its text has begun and its end was not seen."""
        history = self.readers[0].history
        return len(history.frames) > 3 and not history.ended


class People:
    """Makes runs on a deployment; `watched` holds every one of them, `live` the readers that read now."""

    def __init__(self, net: Net, api: Api) -> None:
        self.watched: list[Watched] = []
        self.live: set[Reader] = set()
        self._net = net
        self._api = api

    async def run(self, session: str, dice: random.Random, message: str, kind: Kind) -> None:
        """One run of this kind (two, when QUEUED) from its prompt until every reader has seen its end."""
        match kind:
            case Kind.QUEUED:
                async with asyncio.TaskGroup() as both:
                    for half in ("a", "b"):
                        both.create_task(self.run(session, dice, message + half, Kind.PLAIN))
            case Kind.STOPPED:
                # A minute long: whatever happens meanwhile, the stop comes long before its end.
                watched = self._new(session, dice, message, limit=3000, pause=20)
                await self._watch(watched, dice, self._stop(watched, dice.uniform(0, 3)))
            case Kind.PAUSED:
                watched = self._new(session, dice, message, limit=100, pause=15)
                await self._watch(
                    watched, dice, self._pause(watched, dice.uniform(0, 1), dice.uniform(0.2, 2))
                )
            case _:
                limit, pause = dice.randint(50, 250), dice.choice([2, 5, 10, 15, 40])
                watched = self._new(
                    session, dice, message, limit=limit, pause=pause, twice=kind is Kind.TWICE
                )
                await self._watch(watched, dice)

    def _new(
        self, session: str, dice: random.Random, message: str, *, limit: int, pause: int, twice: bool = False
    ) -> Watched:
        prompt = f"count to {limit} every {pause} ms"
        watched = Watched(session, "".join(f"{number} " for number in range(1, limit + 1)))
        for name in ("starter", "twin")[: 1 + twice]:
            watched.readers.append(
                self._reader(dice)(self._net, session, name, prompt=prompt, message_id=message)
            )
        if twice:
            watched.twin = watched.readers[1]
        self.watched.append(watched)
        return watched

    async def _watch(self, watched: Watched, dice: random.Random, *others: object) -> None:
        delays = [dice.uniform(0, 2) for _ in range(dice.randint(1, 2))]
        late = [(self._reader(dice), delay, f"tab {n}") for n, delay in enumerate(delays, 1)]
        async with asyncio.TaskGroup() as group:
            for reader in tuple(watched.readers):
                group.create_task(self._read(reader))
            for make, delay, name in late:
                group.create_task(self._come_late(watched, make, delay, name))
            for other in others:
                group.create_task(other)  # type: ignore[arg-type]

    async def _come_late(self, watched: Watched, make: type[Reader], delay: float, name: str) -> None:
        """Another tab: it attaches somewhere in the middle and wants the whole run."""
        await watched.readers[0].known.wait()
        await asyncio.sleep(delay)
        if watched.run:
            reader = make(self._net, watched.session, name, run=watched.run)
            watched.readers.append(reader)
            await self._read(reader)

    async def _read(self, reader: Reader) -> None:
        self.live.add(reader)
        try:
            await reader.read()
        finally:
            self.live.discard(reader)

    async def _stop(self, watched: Watched, delay: float) -> None:
        await watched.readers[0].known.wait()
        await asyncio.sleep(delay)
        watched.stop_asked = True
        await self._api.stop(watched.session, watched.run)

    async def _pause(self, watched: Watched, delay: float, length: float) -> None:
        starter = watched.readers[0]
        await starter.known.wait()
        await asyncio.sleep(delay)
        await self._api.signal(watched.session, watched.run, "pause")
        await asyncio.sleep(length)
        # Again and again: a request that was lost with its gateway may have been a pause or a resume.
        while not starter.history.ended and not starter.history.refused:
            await self._api.signal(watched.session, watched.run, "resume")
            await asyncio.sleep(RESUME_SECONDS)

    @staticmethod
    def _reader(dice: random.Random) -> type[Reader]:
        return EventReader if dice.random() < 0.3 else WebSocketReader
