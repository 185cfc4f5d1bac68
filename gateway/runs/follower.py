"""Follows one run for one reader: a pipe from wherever its frames are to a sink, from a cursor to `process-exit`.

The frames of a live run come from its sandbox, as they are; those of a run that ended come from the store. The cursor
is the same in both, so when one breaks the reader goes on from the other without noticing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from container.protocol import MAX_BATCH_BYTES, PING_SECONDS, Close, FrameType
from gateway import errors
from gateway.concurrency.backoff import Backoff
from gateway.model import Run, RunState
from gateway.runs.service import RunService
from gateway.runs.sink import Progress, Sink, tell
from gateway.sandboxes.drivers import Sandbox, phase_of
from gateway.websocket.messages import Messages

log = logging.getLogger(__name__)

STATUS_DELAY_SECONDS = 0.1
"""A wait that is longer than this is reported as a `status` frame; a shorter one is not worth a flicker."""

SETTLE_SECONDS = 5.0
"""How long a finished reader's connection is kept open for the recorder to finish too."""

LOOK_SECONDS = 0.5
"""How often the store is asked about a run that another gateway drives."""


class Follower:
    """One reader of one run. `follow` returns after `process-exit` was delivered.

    Raises `RunNotFound` or `SessionNotFound` when it was deleted meanwhile, `CursorAhead` when the run has less than
    the reader has seen, `StoreUnavailable`, and ConnectionError when the reader itself is gone.
    """

    def __init__(self, runs: RunService, sink: Sink, session: str, run: str, after: int) -> None:
        self._runs = runs
        self._sink = sink
        self._session = session
        self._run = run
        self._progress = Progress(after)
        self._told: tuple[str, int | None] | None = None

    @property
    def cursor(self) -> int:
        """The last frame that was delivered."""
        return self._progress.cursor

    async def follow(self, known: Run | None = None) -> None:
        """Deliver every frame behind the cursor. `known`: the run, where the caller has just read it."""
        backoff = Backoff()
        while True:
            sandbox = await self._sandbox_of(known)
            known = None
            if isinstance(sandbox, Run):
                await self._replay(sandbox)
                return
            before = self.cursor
            try:
                upstream = await self._runs.agent.attach(
                    sandbox, self._run, after=self.cursor, batch=self._sink.batch
                )
                if await self._pump(upstream):
                    await self._settle()
                    return
            except (errors.SandboxUnavailable, errors.RunNotFound) as error:
                # The sandbox died, or is new and has not got the run yet: its recorder sorts that out.
                log.info(
                    "session %s run %s: reader at %d waits: %s", self._session, self._run, self.cursor, error
                )
            if self.cursor > before:
                backoff.reset()
            await self._status("sandbox-recovering")
            await asyncio.sleep(backoff.next())

    async def _sandbox_of(self, known: Run | None) -> Sandbox | Run:
        """Wait until the run can be read: the sandbox that serves it, or the run itself when it has ended."""
        async with self._waiting():
            while True:
                recorder = self._runs.recorders.get(self._run)
                if recorder is not None:
                    if recorder.sandbox is not None:
                        return recorder.sandbox
                    phase = phase_of(self._runs.driver, self._session)
                    await self._status(phase or "sandbox-starting", delayed=True)
                    await self._runs.changed.wait(
                        STATUS_DELAY_SECONDS if self._told is None else LOOK_SECONDS
                    )
                    continue
                run = known or await self._runs.run.ask((self._session, self._run))
                known = None
                if run.state.final:
                    if self.cursor > run.shared:
                        raise errors.CursorAhead(
                            f"Frame {self.cursor} was sent and is not among the {run.shared} that were recorded; "
                            "read the run again from its start."
                        )
                    return run
                if run.state is RunState.RUNNING:
                    return await self._runs.sandbox.ask(self._session)
                if run.state is RunState.QUEUED:
                    await self._status("queued", position=await self._position())
                else:
                    await self._status("sandbox-starting")
                await self._runs.changed.wait(LOOK_SECONDS)

    async def _position(self) -> int:
        queue = (await self._runs.store.get_session(self._session)).queue
        return queue.index(self._run) + 1 if self._run in queue else 1

    async def _status(self, phase: str, *, position: int | None = None, delayed: bool = False) -> None:
        """Tell the reader what it waits for, once for each thing; `delayed`: only from the second time on."""
        if delayed and self._told is None:
            self._told = ("", None)
            return
        if self._told == (phase, position):
            return
        self._told = (phase, position)
        extra = {} if position is None else {"position": position}
        await tell(self._sink, FrameType.STATUS, phase=phase, run=self._run, **extra)

    @asynccontextmanager
    async def _waiting(self) -> AsyncIterator[None]:
        """Pings while nothing else is sent."""

        async def ping() -> None:
            while True:
                await asyncio.sleep(PING_SECONDS)
                await tell(self._sink, FrameType.PING)

        task = asyncio.create_task(ping())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _pump(self, upstream: Messages) -> bool:
        """Deliver messages until the upstream ends; whether that was the run's end."""
        async with upstream:
            await self._sink.pump(upstream, self._progress)
        return upstream.close_code == Close.OK and self._progress.ended

    async def _settle(self) -> None:
        """Wait a moment for the run's end to be in the store, so that who reads the history next finds it whole."""
        with suppress(TimeoutError, errors.VaporForgeError):
            async with asyncio.timeout(SETTLE_SECONDS):
                while True:
                    recorder = self._runs.recorders.get(self._run)
                    if (
                        recorder is None
                        and (await self._runs.store.get_run(self._session, self._run)).state.final
                    ):
                        return
                    if recorder is not None and recorder.ended:
                        return
                    await self._runs.changed.wait(LOOK_SECONDS if recorder else STATUS_DELAY_SECONDS)

    async def _replay(self, run: Run) -> None:
        """Everything behind the cursor from the store. A reader that has it all is told the run's end once more: only
        a `process-exit` says that there is nothing to wait for."""
        before = self.cursor
        split = partial(_messages, batch=self._sink.batch)
        await self._runs.replays.replay(self._session, self._run, self._sink, self._progress, split)
        await tell(self._sink, FrameType.REPLAY_COMPLETE, run=self._run, after=self.cursor)
        if self.cursor == before:
            await tell(self._sink, FrameType.PROCESS_EXIT, exitCode=None, reason=run.reason, run=self._run)


def _messages(chunk: bytes, *, batch: bool) -> Iterator[bytes]:
    """The chunk's frames one by one, or in batches within the protocol's limit."""
    lines = chunk.split(b"\n")
    if not batch:
        for line in lines:
            if line:
                yield line
        return
    held: list[bytes] = []
    size = 0
    for line in lines:
        if not line:
            continue
        if held and size + len(line) + 1 > MAX_BATCH_BYTES:
            yield b"\n".join(held)
            held, size = [], 0
        held.append(line)
        size += len(line) + 1
    if held:
        yield b"\n".join(held)
