"""One run: its state, its frame log, and the readers that wait for what comes next."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from container.protocol import ExitReason, FrameType, encode
from container.runs.framelog import FrameLog, NoRoomError, exit_frame

log = logging.getLogger(__name__)


class RunState(StrEnum):
    """Where a run is; the last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    LOST = "lost"


FINAL: Final = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.STOPPED, RunState.LOST})

_NEXT: Final = {
    RunState.QUEUED: {RunState.RUNNING, RunState.STOPPING},
    RunState.RUNNING: {RunState.PAUSED, RunState.STOPPING, *FINAL},
    RunState.PAUSED: {RunState.RUNNING, RunState.STOPPING, *FINAL},
    RunState.STOPPING: FINAL,
}


class Run:
    """A run that this sandbox has started (or found on its volume). `recorded`: the recorder's watermark."""

    def __init__(self, run_id: str, frames: FrameLog, state: RunState = RunState.QUEUED) -> None:
        self.id = run_id
        self.frames = frames
        self.state = state
        self.recorded = 0
        self.readers = 0
        self.status: tuple[int, bytes] = (0, b"")
        """A count and the newest `status` frame, which readers get in passing and nobody records."""
        self.status_lasts = False
        """Whether a reader that comes now is to be told it."""
        self.timing: dict[str, float] = {}
        """Milliseconds by phase, as far as they are known."""
        self.refusal: NoRoomError | None = None
        """Why no more frames are taken, when there is no room for them."""
        self.full: asyncio.Event = asyncio.Event()
        """Set together with `refusal`."""
        self.blocked: set[str] = set()
        """Hosts that it was told of."""
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def is_final(self) -> bool:
        """Whether `process-exit` has been written."""
        return self.state in FINAL

    def move(self, state: RunState) -> None:
        """Go to `state`; every change of a run's state is made and logged here."""
        if state not in _NEXT.get(self.state, ()):
            raise RuntimeError(f"run {self.id} cannot go from {self.state} to {state}")
        log.info("run %s: %s -> %s at frame %d", self.id, self.state, state, self.frames.last)
        self.state = state

    def append(self, bodies: Iterable[bytes]) -> None:
        """Number and keep frames, and wake the readers. Without room, `full` is set: none is taken from then on."""
        if self.full.is_set():
            return
        try:
            self.frames.append(bodies)
        except NoRoomError as error:
            self.refusal = error
            self.full.set()
            return
        self.status_lasts &= self.state is RunState.PAUSED  # what comes from the agent outdates all else
        self.wake()

    def end(self, exit_code: int | None, reason: ExitReason, last_words: Iterable[bytes] = ()) -> None:
        """Write `last_words` and `process-exit`, and go to the final state that `reason` names."""
        self.frames.append([*last_words, exit_frame(exit_code, reason)], last_words=True)
        self.move(RunState(reason.value))
        if (
            not self.readers
        ):  # they read the end from memory, whatever becomes of the file; the last one closes it
            self.frames.close()
        self.wake()

    def tell(self, phase: str, *, lasts: bool = True, **fields: object) -> None:
        """Give the present readers a `status` frame, and those who come while it `lasts`."""
        self.status_lasts = lasts
        self.status = (
            self.status[0] + 1,
            encode({"type": FrameType.STATUS, "phase": phase, "run": self.id, **fields}),
        )
        self.wake()

    def wake(self) -> None:
        """Let every waiting reader look again."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def changed(self) -> None:
        """Return at the next `wake`."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)
