"""A process that can be killed, frozen and started again on the same port, and is ended by its id."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 300.0


class Child:
    """`ready`: the URL that answers once it serves. Its output goes to `log`."""

    def __init__(self, name: str, argv: Sequence[str], env: Mapping[str, str], log: Path, ready: str) -> None:
        self.name = name
        self._argv = argv
        self._env = env
        self._log = log
        self._ready = ready
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Its id, 0 before it was ever started."""
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        """Start it and wait until it answers; one that ends meanwhile is started again, as every supervisor does."""
        await self._spawn()
        deadline = time.monotonic() + START_SECONDS
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=START_SECONDS)) as http:
            while not await self._answers(http):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{self.name} does not answer; see {self._log}")
                if self._process is not None and self._process.returncode is not None:
                    await asyncio.sleep(1)
                    await self._spawn()
                await asyncio.sleep(0.05)

    async def _spawn(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv, env=self._env, stdout=log, stderr=log, cwd=ROOT, start_new_session=True
            )

    async def _answers(self, http: aiohttp.ClientSession) -> bool:
        try:
            async with http.get(self._ready) as response:
                return response.status < 500
        except (aiohttp.ClientError, TimeoutError):
            return False

    def send(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def end(self, number: int = signal.SIGTERM, seconds: float = 40) -> None:
        """Signal it and wait for its end; KILL when it takes too long. Twice is fine, frozen too."""
        if self._process is None:
            return
        self.send(number)
        self.send(signal.SIGCONT)
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self._process.wait()


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
