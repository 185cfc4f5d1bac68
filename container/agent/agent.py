"""The agent of a sandbox: hands its process one query at a time, and tells how each ended."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Any, Final

from container.agent.answer import Answer, Outcome
from container.agent.identity import write_identity
from container.agent.keeper import Keeper
from container.agent.lines import AgentFrame, Line, Texts, agent_frame
from container.agent.process import AgentProcess
from container.agent.spared import Spared
from container.protocol import ExitReason, FrameType, encode
from container.redaction.known import secrets_of, secrets_of_servers
from container.redaction.redactor import Redactor
from container.redaction.stream import strike
from container.settings import Settings

log = logging.getLogger(__name__)

INTERRUPT_SECONDS: Final = 2.0
"""How long the agent has to end its answer after SIGINT before its process is ended."""

READY: Final = FrameType.READY
"""Looked up once: every line of an agent is compared with it, and an enum's lookup takes longer than that."""

SHAPES: Final = Redactor()
"""For what is said outside of an answer, and goes to the log."""


class AgentState(StrEnum):
    """What `/ping` says of the agent."""

    READY = "ready"
    STARTING = "starting"
    BUSY = "busy"
    DOWN = "down"


class Agent:
    """Has one process of the agent at a time, by a `Keeper`, and one query at a time answered by it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._answer: Answer | None = None
        self._keeper = Keeper(
            settings, lambda: self._answer is not None, self._lines, self._stderr, self._texts
        )

    @property
    def state(self) -> AgentState:
        """For `/ping`."""
        if self._answer is not None:
            return AgentState.BUSY
        if self._keeper.alive is None:
            return AgentState.DOWN
        return AgentState.READY if self._keeper.ready or self._keeper.one_shot else AgentState.STARTING

    @property
    def process(self) -> AgentProcess | None:
        """The newest process, which may have ended."""
        return self._keeper.process

    @property
    def own_env(self) -> Mapping[str, str]:
        """What every process of the agent's is told, on top of the server's own environment."""
        return self._keeper.own_env

    @property
    def spared(self) -> Spared:
        """What of the agent's user is not the agent's: it does not end, halt or count with it."""
        return self._keeper.spared

    def start(self, env: Mapping[str, str] | None = None, *, after: float = 0.0) -> None:
        """Begin to keep a process alive. `env`: what every one of them is told, on top of the server's own, but for a
        key of the model's API that this has. `after`: seconds from now on for which there is none but for a query."""
        self._keeper.start(env or {}, after=after)

    async def keep_none(self) -> None:
        """Start no process any more but for a query; the present one stays. May be called twice."""
        await self._keeper.keep_none()

    async def close(self) -> None:
        """End the process and keep none any more. May be called twice."""
        await self._keeper.keep_none()
        await self._keeper.end()

    def away(self) -> AbstractAsyncContextManager[None]:
        """No process while the block runs; the next one finds what was changed meanwhile."""
        return self._keeper.away()

    async def answer(self, query: dict[str, Any], sink: Callable[[list[bytes]], None]) -> Outcome:
        """Have one query answered; `sink` is called with the frames' bodies straight from where they are read.

        Cancelling it ends the agent's process.
        """
        answer = self._answer = Answer(sink, self._redactor(query))
        try:
            if author := query.get("author"):
                write_identity(self._settings.git_identity, author, self._settings.user)
            process = await self._keeper.process_for(query)
            if answer.stopping:
                if self._keeper.takes_environment:
                    await process.close()  # it may have this query's environment
                return Outcome(None, ExitReason.STOPPED)
            process.send(json.dumps(query).encode())
            answer.asked = process
            self._keeper.asked()
            await answer.ended(process)
            process.read_stderr()  # what was written before the agent was ready, and is in the pipe yet
            answer.take_stderr(answer.stderr.rest())
            answer.close()
            return await self._outcome(answer, process)
        except OSError as error:
            text = f"The agent could not be started: {error}"
            sink([encode({"type": FrameType.ERROR, "error": text, "code": "agent-not-started"})])
            return Outcome(None, ExitReason.FAILED)
        except asyncio.CancelledError:
            await self._keeper.end()
            raise
        finally:
            answer.close()
            self._answer = None
            self._keeper.free()

    async def stop(self) -> None:
        """End the answer: SIGINT, then TERM and KILL to all that is the agent's. At most 5 s; nothing to end is fine.

        While the process is still being started, `answer` ends by itself and keeps the query from it.
        """
        answer = self._answer
        if answer is None or answer.stopping:
            return
        answer.stopping = True
        process = answer.asked
        if process is None:
            return
        self.resume()
        process.interrupt()
        await answer.ended(process, INTERRUPT_SECONDS)
        if not answer.finished.done() and self._answer is answer:
            await process.close()

    def pause(self) -> bool:
        """SIGSTOP to all that is the agent's; False, and nothing is done, while no process has the query."""
        process = self._answer.asked if self._answer is not None else None
        if process is None or not process.is_alive:
            return False
        process.signal_tree(signal.SIGSTOP)
        return True

    def resume(self) -> None:
        """SIGCONT to all that is the agent's."""
        if (process := self._keeper.alive) is not None:
            process.signal_tree(signal.SIGCONT)

    def family(self) -> tuple[int, set[int]]:
        """The pid of the agent's process, 0 while there is none, and those of all that it has started."""
        process = self._keeper.alive
        return (process.pid, process.members()) if process is not None else (0, set())

    def _redactor(self, query: Mapping[str, Any]) -> Redactor | None:
        """What knows the secrets that the agent is given with a query, or has anyway."""
        if not self._settings.redact:
            return None
        env = {**os.environ, **self._keeper.own_env, **query["env"]}
        return Redactor(dict([*secrets_of(env), *secrets_of_servers(query.get("mcpServers") or {})]))

    async def _outcome(self, answer: Answer, process: AgentProcess) -> Outcome:
        has_failed = answer.failed and not answer.done
        if answer.finished.done() and process.is_alive:
            if answer.stopping:
                return Outcome(None, ExitReason.STOPPED)
            return Outcome(int(has_failed), ExitReason.FAILED if has_failed else ExitReason.COMPLETED)
        code = await process.ended
        if answer.stopping:
            return Outcome(code, ExitReason.STOPPED)
        if code == 0 and not has_failed:
            self._keeper.one_shot = not self._keeper.ready
            return Outcome(code, ExitReason.COMPLETED)
        if not answer.has_ended:
            text = f"The agent ended with exit code {code} before its answer was complete."
            answer.sink([encode({"type": FrameType.ERROR, "error": text, "code": "agent-failed"})])
        return Outcome(code, ExitReason.FAILED)

    def _lines(self, _process: AgentProcess, lines: list[Line]) -> None:
        answer = self._answer
        frames: list[AgentFrame] = []
        for line in lines:
            frame = agent_frame(line)
            if frame is None:
                continue
            if frame.type == READY:
                if answer is not None:
                    answer.take(frames)
                    frames = []
                    # Before its first `ready` an agent may have the query in its pipe already; that one is no end.
                    if self._keeper.ready or answer.has_ended:
                        answer.finish()
                        answer = None
                self._keeper.ready = True
                continue
            if answer is None or answer.finished.done():
                log.warning("agent frame outside of a run left out: %s", frame.type)
                continue
            frames.append(frame)
        if frames and answer is not None:
            answer.take(frames)

    def _texts(self, _process: AgentProcess, texts: Texts) -> bool:
        answer = self._answer
        return answer is not None and not answer.finished.done() and answer.take_texts(texts)

    def _stderr(self, _process: AgentProcess, lines: list[Line]) -> None:
        answer = self._answer
        if answer is None:
            for line in lines:
                log.info(
                    "agent stderr: %s", strike(SHAPES, line.data[:500].decode("utf-8", "replace"), cut=True)
                )
            return
        if frames := answer.stderr.frames(lines, asyncio.get_running_loop().time()):
            answer.take_stderr(frames)
