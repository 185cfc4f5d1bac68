"""The agent of a sandbox: keeps one process of it alive, hands it one query at a time, and tells how each ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from container.agent.identity import write_identity
from container.agent.lines import AgentFrame, Line, StderrGate, agent_frame
from container.agent.process import AgentProcess
from container.agent.redacted import HOLD_SECONDS, RedactedFrames
from container.protocol import ExitReason, FrameType, encode
from container.redaction.known import secrets_of, secrets_of_servers
from container.redaction.redactor import Redactor
from container.redaction.stream import strike
from container.settings import Settings, agent_environment

log = logging.getLogger(__name__)

INTERRUPT_SECONDS: Final = 2.0
"""How long the agent has to end its answer after SIGINT before its process is ended."""

READY, DONE, ERROR = FrameType.READY, FrameType.DONE, FrameType.ERROR
"""Looked up once: every line of an agent is compared with them, and an enum's lookup takes longer than that."""

SHAPES: Final = Redactor()
"""For what is said outside of an answer, and goes to the log."""

KEY: Final = "ANTHROPIC_API_KEY"

MAX_IDLE_DEATHS: Final = 5
"""A process that dies this often without a query is started only when there is one."""

LASTING_SECONDS: Final = 10.0
"""A process that lived this long before it died is no such process."""


class AgentState(StrEnum):
    """What `/ping` says of the agent."""

    READY = "ready"
    STARTING = "starting"
    BUSY = "busy"
    DOWN = "down"


class Outcome(NamedTuple):
    """How an answer ended. `exit_code`: the process's, or 0 / 1 by the answer's frames when the process stays for the
    next query (None when it was stopped)."""

    exit_code: int | None
    reason: ExitReason


class _Answer:
    """The query being answered, and what its frames have shown so far."""

    def __init__(self, sink: Callable[[list[bytes]], None], redactor: Redactor | None) -> None:
        self.sink = sink
        self.redacted = RedactedFrames(redactor)
        self._release: asyncio.TimerHandle | None = None
        self.asked: AgentProcess | None = None
        """The process that has the query."""
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stderr = StderrGate()
        self.done = False
        self.failed = False
        self.stopping = False

    def show(self, bodies: list[bytes]) -> None:
        """Give out what may be shown, and in a while what is held back."""
        if self._release is not None and (bodies or not self.redacted.holds):
            self._release.cancel()
            self._release = None
        if bodies:
            self.sink(bodies)
        if self._release is None and self.redacted.holds:
            self._release = asyncio.get_running_loop().call_later(HOLD_SECONDS, self._let_go)

    def close(self) -> None:
        """Give out what is held back: nothing comes any more."""
        if self._release is not None:
            self._release.cancel()
        if bodies := self.redacted.end():
            self.sink(bodies)

    def _let_go(self) -> None:
        self._release = None
        self.show(self.redacted.release())

    async def ended(self, process: AgentProcess, timeout: float | None = None) -> None:
        """Return when the agent is ready for the next query, or gone, or `timeout` seconds are over."""
        ends: list[asyncio.Future[Any]] = [self.finished, process.ended]
        await asyncio.wait(ends, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)


class Agent:
    """Starts the process before the first query, keeps it between queries, and starts it again when it died."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own_env: Mapping[str, str] = {}
        self._process: AgentProcess | None = None
        self._ready = False
        self._one_shot = False
        self._was_asked = False
        self._started_at = 0.0
        self._idle_deaths = 0
        self._answer: _Answer | None = None
        self._answered = asyncio.Event()
        self._spawning = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def state(self) -> AgentState:
        """For `/ping`."""
        if self._answer is not None:
            return AgentState.BUSY
        if self._process is None or not self._process.is_alive:
            return AgentState.DOWN
        return AgentState.READY if self._ready or self._one_shot else AgentState.STARTING

    def start(self, env: Mapping[str, str] | None = None, *, after: float = 0.0) -> None:
        """Begin to keep a process alive. `env`: what every one of them is told, on top of the server's own, but for a
        key of the model's API that this has: no driver gives it one. `after`: seconds from now on for which there is
        none but for a query."""
        given = {KEY: os.environ[KEY]} if KEY in os.environ else {}
        self._own_env = {**(env or {}), **given}
        self._keeper = asyncio.create_task(self._keep(after), name="agent-keeper")

    async def keep_none(self) -> None:
        """Start no process any more but for a query; the present one stays. May be called twice."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper

    async def close(self) -> None:
        """End the process and keep none any more. May be called twice."""
        await self.keep_none()
        await self._end_process()

    async def answer(self, query: dict[str, Any], sink: Callable[[list[bytes]], None]) -> Outcome:
        """Have one query answered; `sink` is called with the frames' bodies straight from where they are read.

        Cancelling it ends the agent's process.
        """
        answer = self._answer = _Answer(sink, self._redactor(query))
        try:
            if author := query.get("author"):
                write_identity(self._settings.git_identity, author, self._settings.user)
            process = await self._process_for(query)
            if answer.stopping:
                if not self._ready and not self._settings.agent.kept:
                    await process.close()  # it may have this query's environment
                return Outcome(None, ExitReason.STOPPED)
            process.send(json.dumps(query).encode())
            answer.asked = process
            self._was_asked, self._idle_deaths = True, 0
            await answer.ended(process)
            for _ in range(3):  # what it wrote to stderr before it was ready is in the pipe: let that be read
                await asyncio.sleep(0)
            answer.show(answer.redacted.take_stderr(answer.stderr.rest()))
            answer.close()
            return await self._outcome(answer, process)
        except OSError as error:
            text = f"The agent could not be started: {error}"
            sink([encode({"type": FrameType.ERROR, "error": text, "code": "agent-not-started"})])
            return Outcome(None, ExitReason.FAILED)
        except asyncio.CancelledError:
            await self._end_process()
            raise
        finally:
            answer.close()
            self._answer = None
            self._answered.set()

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

    @contextlib.asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """No process while the block runs; the next one finds what was changed meanwhile."""
        async with self._spawning:
            await self._end_process()
            yield

    def pause(self) -> bool:
        """SIGSTOP to all that is the agent's; False, and nothing is done, while no process has the query."""
        process = self._answer.asked if self._answer is not None else None
        if process is None or not process.is_alive:
            return False
        process.signal_tree(signal.SIGSTOP)
        return True

    def family(self) -> tuple[int, set[int]]:
        """The pid of the agent's process, 0 while there is none, and those of all that it has started."""
        process = self._process
        return (process.pid, process.members()) if process is not None and process.is_alive else (0, set())

    def resume(self) -> None:
        """SIGCONT to all that is the agent's."""
        if self._process is not None and self._process.is_alive:
            self._process.signal_tree(signal.SIGCONT)

    def _redactor(self, query: Mapping[str, Any]) -> Redactor | None:
        """What knows the secrets that the agent is given with a query, or has anyway."""
        if not self._settings.redact:
            return None
        env = {**os.environ, **self._own_env, **query["env"]}
        return Redactor(dict([*secrets_of(env), *secrets_of_servers(query.get("mcpServers") or {})]))

    async def _outcome(self, answer: _Answer, process: AgentProcess) -> Outcome:
        if answer.finished.done() and process.is_alive:
            if answer.stopping:
                return Outcome(None, ExitReason.STOPPED)
            failed = answer.failed and not answer.done
            return Outcome(int(failed), ExitReason.FAILED if failed else ExitReason.COMPLETED)
        code = await process.ended
        if answer.stopping:
            return Outcome(code, ExitReason.STOPPED)
        if code == 0 and not (answer.failed and not answer.done):
            self._one_shot = not self._ready
            return Outcome(code, ExitReason.COMPLETED)
        if not answer.failed and not answer.done:
            text = f"The agent ended with exit code {code} before its answer was complete."
            answer.sink([encode({"type": FrameType.ERROR, "error": text, "code": "agent-failed"})])
        return Outcome(code, ExitReason.FAILED)

    async def _process_for(self, query: dict[str, Any]) -> AgentProcess:
        own = bool(query["env"]) or Path(query["cwd"]) != self._settings.agent.cwd
        if own and not self._ready and not self._settings.agent.kept:
            # It may be one that takes its environment and directory from its start: start it with the query's.
            return await self._spawn(query["env"], Path(query["cwd"]), afresh=True)
        return await self._spawn({}, self._settings.agent.cwd)

    async def _spawn(self, env: dict[str, str], cwd: Path, *, afresh: bool = False) -> AgentProcess:
        async with self._spawning:
            if self._process is not None and self._process.is_alive:
                if not afresh:
                    return self._process
                await self._process.close()
            if self._process is not None:
                await asyncio.wait([self._process.ended])  # its last output is not the next one's
            self._process = None
            self._ready = self._was_asked = False
            self._started_at = asyncio.get_running_loop().time()
            self._process = await AgentProcess.spawn(
                self._settings.agent.argv,
                # A file, so that an agent which was started ahead has the identity of whoever asks later.
                {
                    "GIT_CONFIG_SYSTEM": str(self._settings.git_identity),
                    **agent_environment(self._settings, {**os.environ, **self._own_env}, env),
                },
                cwd,
                self._settings.user,
                on_lines=self._lines,
                on_stderr=self._stderr,
            )
            return self._process

    async def _end_process(self) -> None:
        if self._process is not None:
            await self._process.close()

    async def _keep(self, after: float) -> None:
        await asyncio.sleep(after)
        counted: AgentProcess | None = None
        while True:
            self._answered.clear()
            if self._answer is None and self._idle_deaths < MAX_IDLE_DEATHS:
                try:
                    await self._spawn({}, self._settings.agent.cwd)
                except OSError as error:
                    log.error("the agent cannot be started: %s", error)  # noqa: TRY400 - the sentence is the whole of it
                    self._idle_deaths = MAX_IDLE_DEATHS
            if self._process is not None and self._process is not counted:
                counted = self._process  # which may have died already
                await asyncio.wait([counted.ended])
                age = asyncio.get_running_loop().time() - self._started_at
                was_useful = self._was_asked or age > LASTING_SECONDS
                self._idle_deaths = 0 if was_useful else self._idle_deaths + 1
                if 0 < self._idle_deaths < MAX_IDLE_DEATHS:
                    await asyncio.sleep(0.1 * 2**self._idle_deaths)
            if self._answer is not None or self._idle_deaths >= MAX_IDLE_DEATHS:
                await self._answered.wait()

    def _lines(self, _process: AgentProcess, lines: list[Line]) -> None:
        answer = self._answer
        frames: list[AgentFrame] = []
        for line in lines:
            frame = agent_frame(line)
            if frame is None:
                continue
            if frame.type == READY:
                # Before its first `ready` an agent may have the query in its pipe already; that one is no end.
                if answer is not None and (self._ready or answer.done or answer.failed):
                    answer.show(answer.redacted.take(frames))
                    frames = []
                    if not answer.finished.done():
                        answer.finished.set_result(None)
                    answer = None
                self._ready = True
                continue
            if answer is None or answer.finished.done():
                log.warning("agent frame outside of a run left out: %s", frame.type)
                continue
            answer.done |= frame.type == DONE
            answer.failed |= frame.type == ERROR
            frames.append(frame)
        if frames and answer is not None:
            answer.show(answer.redacted.take(frames))

    def _stderr(self, _process: AgentProcess, lines: list[Line]) -> None:
        answer = self._answer
        if answer is None:
            for line in lines:
                log.info(
                    "agent stderr: %s", strike(SHAPES, line.data[:500].decode("utf-8", "replace"), cut=True)
                )
            return
        frames = answer.stderr.frames(lines, asyncio.get_running_loop().time())
        if frames:
            answer.show(answer.redacted.take_stderr(frames))
