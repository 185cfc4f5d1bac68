"""The good users, and what they notice: each reads a stream of frames, one every 20 ms, while health is asked for."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp

from tests.attack.scene import Scene
from tests.chaos.api import Api
from tests.chaos.reader import Net, WebSocketReader

PROMPT = "count to 999999 every 20 ms"
POLL_SECONDS = 0.5
HEALTH_SECONDS = 2.0
"""A health check that takes longer has failed: HAProxy gives up after as long."""

FRONT_SECONDS = 5.0
WARM_SECONDS = 120.0


@dataclass(frozen=True)
class Figures:
    """What good users saw within a time: gaps between frames in ms, health checks that failed and the slowest in ms."""

    largest_ms: float
    p99_ms: float
    health_ms: float
    health_failed: int
    frames: int


@dataclass
class _Polls:
    at: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    ok: list[bool] = field(default_factory=list)


class GoodUser:
    """One session and its stream, whichever way it comes."""

    def __init__(self, net: Net, name: str) -> None:
        self.name = name
        self.api = Api(net)
        self._net = net
        self.session = ""
        self.reader: WebSocketReader
        self._reading: asyncio.Task[object]

    async def begin(self) -> None:
        """Start the stream, and wait until it flows."""
        self.session = await self.api.new_session()
        self.reader = WebSocketReader(
            self._net, self.session, self.name, prompt=PROMPT, message_id=f"m-{self.session}"
        )
        self._reading = asyncio.create_task(self.reader.read(), name=f"good user {self.name}")
        async with asyncio.timeout(WARM_SECONDS):
            while len(self.reader.history.frames) < 50:
                await asyncio.sleep(0.05)

    async def end(self) -> None:
        """Stop the stream and delete the session."""
        if self.reader.run is not None and not self.reader.history.ended:
            await self.api.stop(self.session, self.reader.run)
            with suppress(TimeoutError):
                async with asyncio.timeout(30):
                    await asyncio.shield(self._reading)
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self.api.delete(self.session)

    def gaps(self, start: float, end: float) -> list[float]:
        """Seconds between frames that came within this time; the one that was open at its end too."""
        arrivals = self.reader.history.arrivals
        first, last = bisect_left(arrivals, start), bisect_right(arrivals, end)
        found = [arrivals[at] - arrivals[at - 1] for at in range(max(1, first), last)]
        return [*found, end - arrivals[last - 1]] if last else [end - start]

    def faults(self) -> list[str]:
        """What is wrong with the stream itself: frames twice, missing, or a refusal."""
        seen = self.reader.history
        return [
            *([f"{self.name}: {seen.duplicated} frames twice"] if seen.duplicated else []),
            *([f"{self.name}: {seen.gaps} gaps in the numbers"] if seen.gaps else []),
            *(f"{self.name}: refused: {refusal}" for refusal in seen.refused),
            *([f"{self.name}: the run ended"] if seen.ended else []),
        ]


class Watch:
    """The good users of a scene, one for each of its nets, and polls of its gateways' health."""

    def __init__(self, scene: Scene, http: aiohttp.ClientSession) -> None:
        self.users = [GoodUser(net, f"good user {number + 1}") for number, net in enumerate(scene.nets)]
        self._health = {url: _Polls() for url in scene.health}
        self._front = scene.front
        self._http = http
        self._other, self._entrance = scene.elsewhere

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Streams flow and health is asked for within this block."""
        polling: list[asyncio.Task[None]] = []
        try:
            for user in self.users:
                await user.begin()
            polling = [asyncio.create_task(self._poll(url), name=f"poll {url}") for url in self._health]
            yield
        finally:
            for task in polling:
                task.cancel()
            await asyncio.gather(*polling, return_exceptions=True)
            for user in self.users:
                if user.session:
                    await user.end()

    def figures(self, start: float, end: float) -> Figures:
        """Between two moments of `time.monotonic()`; of all good users the worst."""
        largest, p99, frames, slowest, failed = 0.0, 0.0, 0, 0.0, 0
        for user in self.users:
            gaps = sorted(user.gaps(start, end))
            largest = max(largest, gaps[-1])
            p99 = max(p99, gaps[min(len(gaps) - 1, int(len(gaps) * 0.99))])
            frames += len(gaps) - 1
        for polls in self._health.values():
            for at, took, ok in zip(polls.at, polls.took, polls.ok, strict=True):
                if start <= at <= end:
                    slowest = max(slowest, took)
                    failed += not ok
        return Figures(largest * 1000, p99 * 1000, slowest * 1000, failed, frames)

    async def others_are_answered(self) -> bool:
        """Whether somebody new, who has not the attackers' address, is let in."""
        return await _answers(self._other, self._entrance)

    async def front_answers(self) -> bool:
        """Whether the attackers' own address is let in where people come in."""
        return await _answers(self._http, self._front)

    async def _poll(self, url: str) -> None:
        polls = self._health[url]
        while True:
            began = time.monotonic()
            ok = False
            with suppress(aiohttp.ClientError, TimeoutError):
                timeout = aiohttp.ClientTimeout(total=HEALTH_SECONDS)
                async with self._other.get(f"{url}/api/ready", timeout=timeout) as response:
                    ok = response.status == 200
            # Filed under its beginning: a check is part of the time in which it was asked.
            polls.at.append(began)
            polls.took.append(time.monotonic() - began)
            polls.ok.append(ok)
            await asyncio.sleep(max(0.0, began + POLL_SECONDS - time.monotonic()))


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    with suppress(aiohttp.ClientError, TimeoutError):
        timeout = aiohttp.ClientTimeout(total=FRONT_SECONDS)
        async with http.get(f"{url}/api/version", timeout=timeout) as response:
            return response.status < 400
    return False
