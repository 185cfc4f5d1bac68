"""The query that an agent is answering: what its frames have shown, and what of them waits to be shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from container.agent.lines import AgentFrame, StderrGate, Texts
from container.agent.process import AgentProcess
from container.agent.redacted import HOLD_SECONDS, RedactedFrames
from container.protocol import ExitReason, FrameType
from container.redaction.redactor import Redactor

DONE, ERROR = FrameType.DONE, FrameType.ERROR
"""Looked up once: every line of an agent is compared with them, and an enum's lookup takes longer than that."""


class Outcome(NamedTuple):
    """How an answer ended. `exit_code`: the process's, or 0 / 1 by the answer's frames when the process stays for the
    next query (None when it was stopped)."""

    exit_code: int | None
    reason: ExitReason


class Answer:
    """`sink` is called with the bodies of the frames that are to be shown. `asked`: the process that has the query."""

    def __init__(self, sink: Callable[[list[bytes]], None], redactor: Redactor | None) -> None:
        self.sink = sink
        self.asked: AgentProcess | None = None
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Set when the agent is ready for the next query."""
        self.stderr = StderrGate()
        self.done = False
        self.failed = False
        self.stopping = False
        self._redacted = RedactedFrames(redactor)
        self._release: asyncio.TimerHandle | None = None
        self._held_since = 0
        """What `_release` was set for: see `RedactedFrames`."""

    @property
    def has_ended(self) -> bool:
        """Whether the agent has said how it ended."""
        return self.done or self.failed

    def take(self, frames: list[AgentFrame]) -> None:
        """Show frames of the agent's stdout."""
        for frame in frames:
            self.done |= frame.type == DONE
            self.failed |= frame.type == ERROR
        self._show(self._redacted.take(frames))

    def take_texts(self, texts: Texts) -> bool:
        """Show texts of the agent's stdout; False, and nothing is done, where each has to be looked at by itself."""
        if not self._redacted.pass_on(texts.text):
            return False
        self._show(texts.bodies)
        return True

    def take_stderr(self, frames: list[AgentFrame]) -> None:
        """Show frames of the agent's stderr."""
        self._show(self._redacted.take_stderr(frames))

    def finish(self) -> None:
        """The agent is ready for the next query. May be called twice."""
        if not self.finished.done():
            self.finished.set_result(None)

    def close(self) -> None:
        """Give out what is held back: nothing comes any more. May be called twice."""
        if self._release is not None:
            self._release.cancel()
            self._release = None
        if bodies := self._redacted.end():
            self.sink(bodies)

    async def ended(self, process: AgentProcess, timeout: float | None = None) -> None:
        """Return when the agent is ready for the next query, or gone, or `timeout` seconds are over."""
        ends: list[asyncio.Future[Any]] = [self.finished, process.ended]
        await asyncio.wait(ends, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    def _show(self, bodies: list[bytes]) -> None:
        """Give out what may be shown, and in a while what is held back."""
        if bodies:
            self.sink(bodies)
        if self._redacted.held_since == self._held_since:
            return
        self._held_since = self._redacted.held_since
        if self._release is not None:
            self._release.cancel()
            self._release = None
        if self._held_since:
            self._release = asyncio.get_running_loop().call_later(HOLD_SECONDS, self._let_go)

    def _let_go(self) -> None:
        self._release, self._held_since = None, 0
        self._show(self._redacted.release())
