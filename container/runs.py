"""The registry of a sandbox's runs: starts them one by one, each from its pending query, and keeps their logs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from typing import Final

from container.agent import Agent, AgentState, Outcome
from container.errors import Conflict, CursorAhead, NoPendingQuery, Retiring, RunNotFound
from container.framelog import FrameLog, end_reason, seal
from container.protocol import MAX_RUN_BYTES, ExitReason, FrameType, encode
from container.query import PendingStore, read_query
from container.run import Run, RunState
from container.settings import Settings

log = logging.getLogger(__name__)

KEEP_FINISHED: Final = 8
"""This many of the newest ended runs keep their logs, recorded or not."""

PENDING_SECONDS: Final = 10.0
"""How long a connection waits for its run's query."""

_RECORDED: Final = ".recorded.jsonl"
"""The name of a log whose every frame the recorder has: it survives a restart of this server."""


class Runs:
    """Every run of this sandbox. A run exists once something connects to it, or stops it, and its query is there."""

    def __init__(self, settings: Settings, agent: Agent, pending: PendingStore) -> None:
        self._settings = settings
        self._agent = agent
        self._pending = pending
        self._runs: dict[str, Run] = {}
        self._queue: deque[Run] = deque()
        self._queued = asyncio.Event()
        self._arrivals = asyncio.Condition()
        self._worker: asyncio.Task[None] | None = None
        self._flusher: asyncio.Task[None] | None = None
        self._stopper: asyncio.Task[None] | None = None
        self._put_at: dict[str, float] = {}
        self.active: Run | None = None
        self.retired = False

    async def start(self) -> None:
        """Find the logs on the volume, end those that a dead agent server left open, and take queries from now on."""
        directory = self._settings.runs_dir
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths = await asyncio.to_thread(
            lambda: sorted(directory.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
        )
        for path in paths:
            run_id = path.name.split(".")[0]
            frames = await asyncio.to_thread(FrameLog, path, run_id)
            if seal(frames, self._settings.lost_reason or "exited"):
                log.warning("run %s was left open by an agent server that died: ended as lost", run_id)
            run = self._runs[run_id] = Run(run_id, frames, RunState(end_reason(frames) or RunState.LOST))
            run.recorded = frames.last if path.name.endswith(_RECORDED) else 0
            frames.close()
            self._pending.drop(run_id)
        self._prune()
        self._worker = asyncio.create_task(self._work(), name="run-worker")
        self._flusher = asyncio.create_task(self._flush(), name="log-flusher")

    async def close(self) -> None:
        """End the active run as lost, and forget the queue. May be called twice."""
        self.retired = True
        for task in (self._worker, self._flusher):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        for run in self._runs.values():
            run.frames.close()

    def is_known(self, run_id: str | None) -> bool:
        """Whether the run has started, or ended."""
        return run_id in self._runs

    def knows_any(self) -> bool:
        """Whether any run has left a log here."""
        return bool(self._runs)

    def get(self, run_id: str) -> Run:
        """A run that has started. Raises RunNotFound."""
        run = self._runs.get(run_id)
        if run is None:
            raise RunNotFound(f"This sandbox knows no run {run_id}.", field="run")
        return run

    async def put(self, run_id: str, data: bytes) -> None:
        """Keep a query for a run; a run that is known already changes nothing. Raises BadRequest, Retiring."""
        query = read_query(data, self._settings.workspace, self._settings.session)
        if run_id in self._runs:
            return
        if self.retired:
            raise Retiring("This sandbox is going away; ask for another.")
        if self._pending.put(run_id, {"run": run_id, **query}):
            self._put_at[run_id] = time.monotonic()
            async with self._arrivals:
                self._arrivals.notify_all()

    async def attach(self, run_id: str | None, after: int, *, may_wait: bool) -> Run:
        """The run to read. One that has not started is started with its pending query; `may_wait`: for which is waited
        up to PENDING_SECONDS; without an id, with the one at the seed's path.

        Raises RunNotFound (when there is no query and no waiting), CursorAhead, NoPendingQuery, BadRequest, Retiring.
        """
        run = self._runs.get(run_id) if run_id else None
        if run is None:
            if not may_wait and not (run_id and self._pending.has(run_id)):
                raise RunNotFound(f"This sandbox knows no run {run_id}.", field="run")
            if after:
                raise CursorAhead(f"The run has no frame {after} here.", field="after")
            run = await (self._start_seed() if run_id is None else self._start(run_id))
        if after > run.frames.last:
            raise CursorAhead(f"The run's last frame is {run.frames.last}, not {after}.", field="after")
        return run

    async def stop(self, run_id: str) -> Run:
        """Begin to end a run's answer, and return at once; what has ended or is ending stays so. Raises RunNotFound."""
        if run_id not in self._runs and self._pending.has(run_id):
            self._enqueue(run_id)
        run = self.get(run_id)
        if run.state is RunState.QUEUED:
            self._queue.remove(run)
            self._pending.drop(run_id)
            run.move(RunState.STOPPING)
            run.append([encode({"type": FrameType.RUN})])
            run.end(None, ExitReason.STOPPED)
        elif run.state in {RunState.RUNNING, RunState.PAUSED}:
            run.move(RunState.STOPPING)
            self._stopper = asyncio.create_task(self._agent.stop(), name=f"stop-{run_id}")
        return run

    def pause(self, run_id: str) -> Run:
        """Stop the agent's process group with SIGSTOP. Raises RunNotFound, Conflict when the run is not on."""
        run = self.get(run_id)
        if run.state is RunState.RUNNING:
            run.move(RunState.PAUSED)
            self._agent.pause()
            run.tell("paused")
        if run.state is not RunState.PAUSED:
            raise Conflict(f"The run is {run.state}; only one that runs can be paused.", field="run")
        return run

    def resume(self, run_id: str) -> Run:
        """Let a paused run go on. Raises RunNotFound, Conflict when the run is not on."""
        run = self.get(run_id)
        if run.state is RunState.PAUSED:
            run.move(RunState.RUNNING)
            self._agent.resume()
            run.tell("resumed", lasts=False)
        if run.state is not RunState.RUNNING:
            raise Conflict(f"The run is {run.state}; only one that is paused can be resumed.", field="run")
        return run

    def record(self, run: Run, seq: int) -> None:
        """The recorder has every frame up to `seq`."""
        run.recorded = max(run.recorded, min(seq, run.frames.last))
        self._prune()

    def has_work(self) -> bool:
        """Whether a run is on or waits, or a query waits for its run."""
        return self.active is not None or bool(self._queue) or not self._pending.is_empty()

    async def _start(self, run_id: str) -> Run:
        async with self._arrivals:
            try:
                async with asyncio.timeout(PENDING_SECONDS):
                    await self._arrivals.wait_for(lambda: run_id in self._runs or self._pending.has(run_id))
            except TimeoutError:
                raise NoPendingQuery(f"No query was left for run {run_id}.", field="run") from None
        return self._runs.get(run_id) or self._enqueue(run_id)

    async def _start_seed(self) -> Run:
        deadline, pause = time.monotonic() + PENDING_SECONDS, 0.005
        while (data := self._pending.take_seed()) is None:
            if time.monotonic() > deadline:
                raise NoPendingQuery(f"No query was left at {self._settings.seed_pending}.")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.1)
        query = read_query(data, self._settings.workspace, self._settings.session)
        run_id = secrets.token_hex(13)
        self._pending.put(run_id, {"run": run_id, **query})
        return self._enqueue(run_id)

    def _enqueue(self, run_id: str) -> Run:
        if self.retired:
            raise Retiring("This sandbox is going away; ask for another.")
        path = self._settings.runs_dir / f"{run_id}.jsonl"
        run = Run(run_id, FrameLog(path, run_id, max_bytes=MAX_RUN_BYTES))
        self._runs[run_id] = run
        self._queue.append(run)
        if len(self._queue) > 1 or self.active is not None:
            run.tell("queued", position=len(self._queue))
        self._queued.set()
        return run

    async def _work(self) -> None:
        while True:
            while not self._queue:
                self._queued.clear()
                await self._queued.wait()
            self.active = self._queue.popleft()
            for position, run in enumerate(self._queue, 1):
                run.tell("queued", position=position)
            try:
                await self._execute(self.active)
            except Exception:
                log.exception("run %s failed inside the agent server", self.active.id)
                if not self.active.is_final:
                    self.active.end(None, ExitReason.FAILED)
            finally:
                self.active = None

    async def _execute(self, run: Run) -> None:
        run.move(RunState.RUNNING)
        run.append([encode({"type": FrameType.RUN})])
        query = self._pending.take(run.id)
        if query is None:
            run.end(None, ExitReason.LOST)
            return
        now = time.monotonic()
        run.timing["queued"] = round((now - self._put_at.pop(run.id, now)) * 1000, 3)
        if self._agent.state in {AgentState.STARTING, AgentState.DOWN}:
            run.tell("agent-starting")
        answer = asyncio.create_task(self._agent.answer(query, run.append), name=f"answer-{run.id}")
        full = asyncio.create_task(run.full.wait())
        try:
            await asyncio.wait([answer, full], return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                log.error("run %s: %s; ending it", run.id, run.refusal)
                await self._agent.stop()
            outcome = await answer
        except asyncio.CancelledError:
            answer.cancel()
            await asyncio.wait([answer])
            lost = encode({"type": FrameType.SANDBOX_LOST, "reason": "killed"})
            run.end(None, ExitReason.LOST, [lost])
            raise
        finally:
            full.cancel()
        self._finish(run, outcome)

    def _finish(self, run: Run, outcome: Outcome) -> None:
        if run.refusal is not None:
            text = f"{run.refusal}: the run was ended, frames after this point are missing."
            error = encode({"type": FrameType.ERROR, "error": text, "code": run.refusal.code})
            run.end(outcome.exit_code, ExitReason.FAILED, [error])
        else:
            run.end(outcome.exit_code, outcome.reason)
        self._prune()

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(1)
            for run in list(self._runs.values()):
                if run.frames.unwritten and run.frames.flush():
                    log.info("run %s: the disk takes frames again", run.id)

    def _prune(self) -> None:
        ended = [run for run in self._runs.values() if run.is_final]
        for run in ended:
            is_recorded = run.recorded == run.frames.last and not run.frames.unwritten
            if is_recorded and not run.frames.path.name.endswith(_RECORDED):
                run.frames.rename(run.frames.path.with_name(run.id + _RECORDED))
        for run in ended[:-KEEP_FINISHED]:
            if run.recorded == run.frames.last and not run.readers:
                run.frames.delete()
                del self._runs[run.id]
