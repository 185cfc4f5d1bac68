"""The registry of a sandbox's runs: starts them one by one, each from its pending query, and keeps their logs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from typing import Any, Final

from container.agent.agent import Agent, AgentState
from container.agent.answer import Outcome
from container.agent.jobs import Jobs
from container.egress import MAX_NOTES
from container.errors import Conflict, CursorAhead, Retiring, RunNotFound
from container.protocol import MAX_RUN_BYTES, ExitReason, FrameType, encode
from container.runs.framelog import FrameLog
from container.runs.pending import Pending
from container.runs.query import read_query
from container.runs.recovery import RECORDED, recover
from container.runs.run import Run, RunState
from container.runs.taking import take_over
from container.settings import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 5.0
"""Between two looks at the jobs that an agent has left running."""

KEEP_FINISHED: Final = 8
"""This many of the newest ended runs keep their logs, recorded or not."""


class RunService:
    """Every run of this sandbox. A run exists once something connects to it, or stops it, and its query is there."""

    def __init__(self, settings: Settings, agent: Agent, pending: Pending) -> None:
        self.session = settings.session
        """Whose runs these are, where a query does not say it."""
        self._settings = settings
        self._agent = agent
        self._pending = pending
        self._runs: dict[str, Run] = {}
        self._queue: deque[Run] = deque()
        self._queued = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._housekeeper: asyncio.Task[None] | None = None
        self._stopper: asyncio.Task[None] | None = None
        self.active: Run | None = None
        self.retired = False
        self.restored = False
        """Whether a snapshot was restored and no run has told it yet."""
        self.begun = 0
        """How many runs have begun here."""
        self.jobs = Jobs(settings.jobs_file, agent.family, settings.user)
        self._look_at = 0.0
        """When to look for jobs again, by the loop's clock; 0: there are none."""

    async def start(self) -> None:
        """Find the logs on the volume, end those that a dead agent server left open, and take queries from now on."""
        lost_reason = self._settings.lost_reason or "exited"
        for run in await asyncio.to_thread(self._recover, lost_reason):
            self._runs[run.id] = run
        self._prune()
        self.jobs.start()
        self._worker = asyncio.create_task(self._work(), name="run-worker")
        self._housekeeper = asyncio.create_task(self._keep_house(), name="run-housekeeper")

    def _recover(self, lost_reason: str) -> list[Run]:
        settings = self._settings
        if settings.old_runs_dir != settings.runs_dir:
            take_over(settings.old_runs_dir, settings.runs_dir, settings.user)
        return recover(settings.runs_dir, lost_reason)

    async def close(self) -> None:
        """End the active run as lost, and forget the queue. May be called twice."""
        self.retired = True
        for task in (self._worker, self._housekeeper):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        for run in self._runs.values():
            if not run.readers:
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
        """Keep a query for a run; a run that is known already changes nothing. Raises BadRequest, Retiring,
        InsufficientStorage."""
        query = self._read(data)
        if run_id in self._runs:
            return
        self._refuse_when_retired()
        await self._pending.put(run_id, query)

    async def attach(self, run_id: str | None, after: int, *, may_wait: bool) -> Run:
        """The run to read. One that has not started is started with its pending query; `may_wait`: for which is waited
        a while; without an id, with the one at the seed's path.

        Raises RunNotFound (when there is no query and no waiting), CursorAhead, NoPendingQuery, BadRequest (one at the
        seed's path that is none), PayloadTooLarge, InsufficientStorage, Retiring.
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
            self._tell_positions()
            self._pending.drop(run_id)
            run.move(RunState.STOPPING)
            run.append([encode({"type": FrameType.RUN})])
            run.end(None, ExitReason.STOPPED)
        elif run.state in {RunState.RUNNING, RunState.PAUSED}:
            run.move(RunState.STOPPING)
            self._stopper = asyncio.create_task(self._agent.stop(), name=f"stop-{run_id}")
        return run

    def pause(self, run_id: str) -> Run:
        """Halt the agent with SIGSTOP. Raises RunNotFound, Conflict when no agent is on the run."""
        run = self.get(run_id)
        if run.state is RunState.RUNNING:
            if not self._agent.pause():
                raise Conflict(
                    "No agent has the run's prompt yet; it can be paused in a moment.", field="run"
                )
            run.move(RunState.PAUSED)
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

    def notice(self, run_id: str, frame: bytes) -> None:
        """Put a frame of the gateway's into a run. Raises RunNotFound, Conflict when it is not on."""
        run = self.get(run_id)
        if run.is_final or run.state is RunState.QUEUED:
            raise Conflict(f"The run is {run.state}; only one that is on is told anything.", field="run")
        run.append([frame])

    def record(self, run: Run, seq: int) -> None:
        """The recorder has every frame up to `seq`."""
        run.recorded = max(run.recorded, min(seq, run.frames.last))
        self._prune()

    def has_work(self) -> bool:
        """Whether a run is on or waits, or a query waits for its run (which it does for a while only)."""
        return self.active is not None or bool(self._queue) or not self._pending.is_empty()

    async def _start(self, run_id: str) -> Run:
        await self._pending.arrival(run_id, lambda: run_id in self._runs)
        return self._runs.get(run_id) or self._enqueue(run_id)

    async def _start_seed(self) -> Run:
        self._refuse_when_retired()
        query = self._read(await self._pending.seed())
        run_id = secrets.token_hex(13)
        await self._pending.put(run_id, query)
        return self._enqueue(run_id)

    def _read(self, data: bytes) -> dict[str, Any]:
        with self._settings.user.acting():  # whether its folder is there is looked up
            return read_query(data, self._settings.workspace, self.session)

    def _refuse_when_retired(self) -> None:
        if self.retired:
            raise Retiring("This sandbox is going away; ask for another.")

    def _enqueue(self, run_id: str) -> Run:
        self._refuse_when_retired()
        path = self._settings.runs_dir / f"{run_id}.jsonl"
        run = Run(run_id, FrameLog(path, run_id, max_bytes=MAX_RUN_BYTES))
        self._runs[run_id] = run
        self.begun += 1
        self._queue.append(run)
        if len(self._queue) > 1 or self.active is not None:
            run.tell("queued", position=len(self._queue))
        self._queued.set()
        return run

    def note_blocked(self, host: str, frame: bytes) -> None:
        """Tell the run that is on of a host that was not reached, once, and of so many."""
        run = self.active
        if run is None or run.is_final or host in run.blocked or len(run.blocked) >= MAX_NOTES:
            return
        run.blocked.add(host)
        run.append([frame])

    async def _work(self) -> None:
        while True:
            while not self._queue:
                self._queued.clear()
                await self._queued.wait()
            self.active = self._queue.popleft()
            self._tell_positions()
            try:
                await self._execute(self.active)
            except Exception:
                log.exception("run %s failed inside the agent server", self.active.id)
                if not self.active.is_final:
                    self.active.end(None, ExitReason.FAILED)
            finally:
                self.active = None
                self._look_at = asyncio.get_running_loop().time()

    def _tell_positions(self) -> None:
        for position, run in enumerate(self._queue, 1):
            run.tell("queued", position=position)

    async def _execute(self, run: Run) -> None:
        run.move(RunState.RUNNING)
        run.append([encode({"type": FrameType.RUN})])
        if self.restored:
            self.restored = False
            run.append([encode({"type": FrameType.CONFIG_RESTORED})])
            self.jobs.start()
        if ended := self.jobs.take_ended():
            run.append([encode({"type": FrameType.JOBS_ENDED, "jobs": ended})])
        query, waited = self._pending.take(run.id)
        if query is None:
            run.end(None, ExitReason.LOST)
            return
        run.timing["queued"] = round(waited * 1000, 3)
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

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(1)
            for run in list(self._runs.values()):
                if run.frames.unwritten and run.frames.flush():
                    log.info("run %s: the disk takes frames again", run.id)
            self._pending.drop_old(self._runs)
            if self.active is None and self._look_at and asyncio.get_running_loop().time() >= self._look_at:
                await self._look_for_jobs()

    async def _look_for_jobs(self) -> None:
        """What a run has left is looked at for as long as it is there; no run is on."""
        await asyncio.to_thread(self.jobs.look)
        again = self.jobs.quiet_seconds is not None
        self._look_at = asyncio.get_running_loop().time() + LOOK_SECONDS if again else 0.0

    def _prune(self) -> None:
        ended = [run for run in self._runs.values() if run.is_final]
        for run in ended:
            is_recorded = run.recorded == run.frames.last and not run.frames.unwritten
            if is_recorded and not run.frames.path.name.endswith(RECORDED):
                with contextlib.suppress(OSError):  # it is gone, or is tried again at the next one's end
                    run.frames.rename(run.frames.path.with_name(run.id + RECORDED))
        for run in ended[:-KEEP_FINISHED]:
            if run.recorded == run.frames.last and not run.readers:
                run.frames.delete()
                del self._runs[run.id]
