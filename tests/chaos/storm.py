"""A storm: hundreds of people read live on gateway A, which is killed; how they come back on gateway B.

Readers dial as they would through a proxy that knows which gateway is dead: A until it is killed, B from then on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.chaos.api import Api
from tests.chaos.campaign import USER
from tests.chaos.judge import Evidence, Verdict, judge_run
from tests.chaos.processes import Processes
from tests.chaos.reader import Net, WebSocketReader
from tests.chaos.report import conclusion, promise_rows, table
from tests.chaos.waiting import until

log = logging.getLogger(__name__)

SETTINGS = {"VF_LEASE_SECONDS": "10"}
"""As deployed."""

SESSIONS = 10
PAUSE_MS = 200
LIMIT = 100_000
ATTACHING = 25
"""So many readers attach at a time, before the storm."""

READY_FRAMES = 5
GATHER_SECONDS = 120.0
RETURN_SECONDS = 120.0
AFTER_SECONDS = 5.0
BUCKET_SECONDS = 0.25


@dataclass
class Figures:
    """What was measured. `returned`: seconds from the kill to each reader's next frame; `cpu_seconds`: what B used
    until all were back (so what a machine that does nothing else would need); `attempts`: dials of B by quarter second
    since the kill; `connects`: connections that each reader needed."""

    returned: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0
    attempts: Counter[int] = field(default_factory=Counter)
    connects: Counter[int] = field(default_factory=Counter)

    def percentile(self, share: float) -> float:
        """Seconds within which this share of the readers had their next frame."""
        ordered = sorted(self.returned)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Storm:
    """`run` measures, then judges every reader's history."""

    def __init__(self, target: Processes, http: aiohttp.ClientSession, readers: int) -> None:
        self.verdict = Verdict()
        self.figures = Figures()
        self._target = target
        self._count = readers
        self._killed_at = 0.0
        self._net = Net(http, self._url, {"Authorization": f"Bearer {target.token(USER)}"}, self._dialled)
        self._api = Api(self._net)
        self._readers: list[WebSocketReader] = []

    async def run(self) -> None:
        """Gather the readers, kill A, wait for all of them to be back, stop the runs, compare."""
        async with asyncio.TaskGroup() as group:
            sessions = [await self._api.new_session() for _ in range(min(SESSIONS, self._count))]
            starters = [self._starter(session) for session in sessions]
            for starter in starters:
                group.create_task(starter.read())
            await self._gather(group, starters)
            log.info("%d readers are live on one gateway", self._count)
            other = self._target.gateways[1].pid
            self.figures.cpu_seconds = -_cpu_seconds(other)
            self._killed_at = time.monotonic()
            self._target.gateways[0].send(signal.SIGKILL)
            await until(
                lambda: all(self._next_frame(reader) is not None for reader in self._readers),
                RETURN_SECONDS,
                "the return of every reader",
            )
            self.figures.cpu_seconds += _cpu_seconds(other)
            log.info("all are back after %.1f s", time.monotonic() - self._killed_at)
            await asyncio.sleep(AFTER_SECONDS)
            self._measure()
            for starter in starters:
                await self._api.stop(starter.session, starter.run or "")
        for starter in starters:
            await self._judge(starter)
            await self._api.delete(starter.session)
        for what in await self._target.leftovers(sessions):
            self.verdict.leftovers += 1
            self.verdict.find(f"left over: {what}")

    def lines(self, seed: int) -> Iterator[str]:
        """The table."""
        figures = self.figures
        spread = max(figures.attempts, default=0) + 1
        seconds = [
            sum(figures.attempts[at] for at in range(s * 4, s * 4 + 4)) for s in range((spread + 3) // 4)
        ]
        yield f"seed {seed}, {self._count} live readers of {min(SESSIONS, self._count)} runs, gateway A killed"
        yield ""
        yield from table(
            [
                ("next frame from B, p50", f"{figures.percentile(0.5):.2f} s"),
                ("… p95", f"{figures.percentile(0.95):.2f} s"),
                ("… last reader", f"{figures.percentile(1):.2f} s"),
                ("B's CPU until then", f"{figures.cpu_seconds:.1f} s"),
                ("connection attempts at B", figures.attempts.total()),
                ("… in each second since the kill", " ".join(str(count) for count in seconds)),
                ("… most in a quarter second", max(figures.attempts.values(), default=0)),
                ("most connections that one reader needed", max(figures.connects, default=0)),
                ("frames read", self.verdict.frames),
                *promise_rows(self.verdict),
            ]
        )
        yield from conclusion(self.verdict)

    def _url(self) -> str:
        return self._target.urls[1 if self._killed_at else 0]

    def _dialled(self, url: str) -> None:
        if self._killed_at:
            self.figures.attempts[int((time.monotonic() - self._killed_at) / BUCKET_SECONDS)] += 1

    def _starter(self, session: str) -> WebSocketReader:
        prompt = f"count to {LIMIT} every {PAUSE_MS} ms"
        reader = WebSocketReader(self._net, session, "starter", prompt=prompt, message_id="storm")
        self._readers.append(reader)
        return reader

    async def _gather(self, group: asyncio.TaskGroup, starters: list[WebSocketReader]) -> None:
        for starter in starters:
            await starter.known.wait()
        gate = asyncio.Semaphore(ATTACHING)

        async def attach(reader: WebSocketReader) -> None:
            async with gate:
                group.create_task(reader.read())
                await until(lambda: bool(reader.history.frames), GATHER_SECONDS, "a reader's first frame")

        async with asyncio.TaskGroup() as attaching:
            for number in range(self._count - len(starters)):
                starter = starters[number % len(starters)]
                reader = WebSocketReader(self._net, starter.session, f"reader {number}", run=starter.run)
                self._readers.append(reader)
                attaching.create_task(attach(reader))
        await until(
            lambda: all(len(reader.history.frames) >= READY_FRAMES for reader in self._readers),
            GATHER_SECONDS,
            "the gathering of the readers",
        )

    def _next_frame(self, reader: WebSocketReader) -> float | None:
        """When the first frame of a connection to B came."""
        history = reader.history
        for opening in history.openings:
            if opening.at > self._killed_at and len(history.frames) > opening.frames:
                return history.arrivals[opening.frames]
        return None

    def _measure(self) -> None:
        for reader in self._readers:
            at = self._next_frame(reader)
            if at is not None:
                self.figures.returned.append(at - self._killed_at)
            self.figures.connects[len(reader.history.openings)] += 1

    async def _judge(self, starter: WebSocketReader) -> None:
        run = starter.run or ""
        mine = [message for message in await self._api.messages(starter.session) if message["run"] == run]
        evidence = Evidence(
            run=run,
            session=starter.session,
            expected_text="".join(f"{number} " for number in range(1, LIMIT + 1)),
            histories=[reader.history for reader in self._readers if reader.run == run],
            recorded=await self._api.recorded(starter.session, run),
            written=await self._target.written(starter.session, run),
            answers=[message["content"] for message in mine if message["role"] == "assistant"],
            questions=sum(message["role"] == "user" for message in mine),
            stop_asked=True,
        )
        judge_run(self.verdict, evidence)


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
