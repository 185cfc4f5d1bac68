"""A run's frames on their way from its sandbox to the store: what one connection brings is judged, held and written."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from time import thread_time

from container.protocol import PING_SECONDS
from container.redaction.redactor import Redactor
from gateway import errors
from gateway.concurrency.aside import Aside
from gateway.runs.recording.intake import Intake
from gateway.runs.recording.judge import is_heavy
from gateway.runs.recording.run_lease import RunLease
from gateway.runs.recording.transcript import Transcript
from gateway.websocket.messages import Messages

log = logging.getLogger(__name__)

LASTING_SECONDS = 5.0
"""A connection that lasted this long, though no frame came, was a sandbox that answers."""

SILENCE_SECONDS = 3 * PING_SECONDS
"""An agent server that has nothing else to say says `ping`: one that says nothing for so long is frozen."""

TELL_SECONDS = 5.0
"""How long a sandbox may take to read a few bytes."""

SLOW_SECONDS = 0.01
"""Processor time of a message that only a hostile sandbox, or a very large result, takes."""

REST = 4
"""A connection rests for so many times as long as such a message took: none has more than a fifth of a core."""

CLOSE_SECONDS = 3.0
"""How long the end of a connection may take: it waits for the peer's, who may go on talking in its place."""


class Reading:
    """Reads a run's connections one after another, and writes what comes under the run's lease.

    `transcript`: what has come of the run. `attached_at`: when the connection that is read began, by the monotonic
    clock; None between two. `came`, `lasted`: whether the last one brought a frame; whether it lasted and was not
    silent. `finish` is awaited behind the run's last frame. `aside`: where what is heavy is parsed.
    """

    def __init__(self, lease: RunLease, finish: Callable[[], Awaitable[None]], aside: Aside) -> None:
        self.transcript = Transcript()
        self.attached_at: float | None = None
        self.came = self.lasted = False
        self._intake = Intake(self.transcript, lease.run.id)
        self._lease = lease
        self._finish = finish
        self._aside = aside
        self._silent = False
        self._own = False
        """Whether what is held are a gateway's own frames, whoever comes to write them."""

    def redact(self, redactor: Redactor | None) -> None:
        """Strike secrets from all that is read from now on."""
        self._intake.redactor = self.transcript.redactor = redactor

    async def known(self) -> None:
        """Read what an earlier recorder wrote."""
        async for chunk in self._lease.recorded():
            await self._compute(chunk, self._intake.know)

    async def connection(self, upstream: Messages) -> errors.VaporForgeError | None:
        """Read a connection up to the run's end or its own, and close it. `SandboxFaulty` or `RunTooLarge` where it
        brought what a sandbox may not send; what came before may not be written yet.

        While the store is slow nothing is read, so what is unwritten stays bounded; the sandbox's log holds the rest.
        """
        begun, first, refused = time.monotonic(), self.transcript.last, None
        self.attached_at, self._silent = begun, False
        try:
            async with closing(upstream):
                try:
                    await self._read(upstream)
                except (errors.SandboxFaulty, errors.RunTooLarge) as error:
                    refused = error
        finally:
            self.attached_at = None
        self.came = self.transcript.last > first
        self.lasted = not self._silent and time.monotonic() - begun > LASTING_SECONDS
        return refused

    async def _read(self, upstream: Messages) -> None:
        while True:
            message = await self._receive(upstream)
            if message is None:
                await self.flush(upstream)
                continue
            if not message:
                return
            took = await self._compute(message, self._intake.take)
            ended = self.transcript.state is not None
            if ended or self._intake.is_due:
                await self.flush(upstream)
            if ended:
                await self._finish()
                with suppress(errors.SandboxFaulty):
                    await self._tell_recorded(upstream)
                return
            # Messages that are here already take turns with everybody else's.
            await asyncio.sleep(took * REST if took > SLOW_SECONDS else 0)

    async def _compute(self, frames: bytes, take: Callable[[bytes], object]) -> float:
        """Have frames taken, aside where they are heavy; the processor time it took, in seconds."""

        def work() -> float:
            begun = thread_time()
            take(frames)
            return thread_time() - begun

        return await self._aside.run(work) if is_heavy(frames) else work()

    async def _receive(self, upstream: Messages) -> bytes | None:
        """The next message, empty at the connection's end; None when what is buffered is due before one comes."""
        due = self._intake.seconds_left()
        seconds = SILENCE_SECONDS if due is None else due
        try:
            return await upstream.receive(seconds) or b""
        except TimeoutError:
            if due is not None:
                return None
            log.warning("%s: the sandbox says nothing, not even ping; attaches again", self._lease.name)
            self._silent = True
            return b""

    async def flush(self, upstream: Messages | None = None) -> None:
        """Write what is not written yet, and tell `upstream` so."""
        if not self._intake.frames:
            return
        await self._lease.append(self.transcript.last, b"".join(self._intake.frames), own=self._own)
        self._intake.clear()
        if upstream is not None:
            await self._tell_recorded(upstream)

    async def end_with(self, frames: bytes) -> None:
        """Write the run's last frames in place of its sandbox."""
        self._own = True
        self._intake.take(frames, own=True)
        await self.flush()

    async def _tell_recorded(self, upstream: Messages) -> None:
        try:
            async with asyncio.timeout(TELL_SECONDS):
                await upstream.send_json({"type": "recorded", "seq": self._lease.run.recorded})
        except TimeoutError:
            raise errors.SandboxFaulty("The sandbox does not read what its recorder says.") from None
        except ConnectionError:
            return  # what is left to read of the connection says its end


@asynccontextmanager
async def closing(upstream: Messages) -> AsyncIterator[None]:
    """Close a connection behind the block, in time."""
    try:
        yield
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await upstream.close()
