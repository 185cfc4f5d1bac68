"""The recorder: drives one run under its lease, from the pending query to its last frame, and makes it durable.

One path for every case: a fresh run, a promoted one, one taken over from a dead gateway. All of them ensure the
sandbox, leave the query while the run is pending, attach behind what is recorded, and write what comes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from container.redaction.redactor import Redactor
from gateway import errors
from gateway.concurrency.aside import Aside
from gateway.concurrency.backoff import Backoff
from gateway.concurrency.condition import Condition
from gateway.config import Settings
from gateway.model import Run, RunState
from gateway.runs.recording.last_frames import last_frames
from gateway.runs.recording.query import build_query
from gateway.runs.recording.reading import Reading, closing
from gateway.runs.recording.redacted import redactor_of
from gateway.runs.recording.run_lease import LeaseLost, RunLease
from gateway.runs.recording.seal import admitted_prompt
from gateway.runs.recording.watchdog import StopDeadline, Trust, Watchdog
from gateway.sandboxes.agent_client import AgentClient
from gateway.sandboxes.drivers import Driver, Sandbox
from gateway.store import Store
from gateway.websocket.messages import Messages

log = logging.getLogger(__name__)

HAND_OVER_SECONDS = 5.0
MOST_TAKEOVERS = 2
"""Takeovers in a row that brought no frame (`Run.takeovers`): the next one ends the run, and reads nothing of it."""

SOUND_LEASES = 3
"""A sandbox that was read for so many leases' time, though no frame came, does its gateway no harm."""


class Recorder:
    """Records one run. `sandbox` is set while the run can be attached to; `ended` once its end is in the store."""

    def __init__(
        self,
        run: Run,
        *,
        settings: Settings,
        store: Store,
        driver: Driver,
        agent: AgentClient,
        changed: Condition,
        aside: Aside,
        gateway: str,
    ) -> None:
        self.sandbox: Sandbox | None = None
        self.ended = False
        self._lease = RunLease(run, settings=settings, store=store, gateway=gateway)
        self._settings = settings
        self._store = store
        self._driver = driver
        self._agent = agent
        self._changed = changed
        self._reading = Reading(self._lease, self._finish, aside)
        self._stop_sent = False
        self._stop = StopDeadline(
            settings.stop_seconds,
            lambda: self._reading.transcript.state is not None or self._lease.waits_for_store,
        )
        if run.stop_requested:
            self._stop.wanted.set()
        self._finishing = False
        self._counted = False
        """Whether this recorder's takeover is in `Run.takeovers`."""
        self._trust = Trust()
        self._handed_over = run.generation > 1
        """Whether the sandbox may have the query, from here or from an earlier recorder: then only it ends the run."""
        self._watchdog = Watchdog(settings.start_seconds)

    @property
    def run(self) -> Run:
        """The run as the store last told it."""
        return self._lease.run

    async def record(self, prompt: str | None = None) -> Run | None:
        """Drive the run to its end; the run that was promoted then, if any. `prompt`: what was asked, where the
        caller has it at hand. Raises `LeaseLost` when the run is another's."""
        keeper = asyncio.create_task(
            self._lease.renew_forever(self.ask_stop, self._is_sound), name=f"lease {self.run.id}"
        )
        driving = asyncio.create_task(self._drive(prompt), name=f"drive {self.run.id}")
        overdue = asyncio.create_task(self._stop.passed(), name=f"stop of {self.run.id}")
        try:
            await asyncio.wait({keeper, driving, overdue}, return_when=asyncio.FIRST_COMPLETED)
            if not (keeper.done() or driving.done() or self._finishing):
                driving.cancel()
                await asyncio.gather(driving, return_exceptions=True)
                driving = asyncio.create_task(self._cut_short(), name=f"cut {self.run.id} short")
                await asyncio.wait({keeper, driving}, return_when=asyncio.FIRST_COMPLETED)
            # A renewal that meets the run's end finds no lease: that is the end, not a loss.
            await (driving if driving.done() or self._finishing else keeper)
        except (LeaseLost, errors.StoreUnavailable):
            raise
        except Exception:
            with suppress(errors.VaporForgeError, LeaseLost, TimeoutError):
                # What it met here it may meet at the next gateway, without end.
                async with asyncio.timeout(HAND_OVER_SECONDS):
                    await self._count_takeover()
            raise
        finally:
            for task in (keeper, driving, overdue):
                task.cancel()
            await asyncio.gather(keeper, driving, overdue, return_exceptions=True)
            self.sandbox = None
            self._changed.notify_all()
        return self._lease.promoted

    async def hand_over(self) -> None:
        """Write what is buffered and give the lease back; called after `record` was cancelled by a drain."""
        try:
            async with asyncio.timeout(HAND_OVER_SECONDS):
                await self._reading.flush()
                await self._lease.release()
        except (errors.VaporForgeError, LeaseLost, TimeoutError) as error:
            log.info("%s: the lease runs out by itself: %r", self._name(), error)

    async def ask_stop(self) -> None:
        """The run is to stop: before its sandbox has the query it just ends, later the agent server ends it. When
        that cannot be reached the next renewal asks again."""
        self._lease.note_stop()
        self._stop.wanted.set()
        if self.sandbox is None or self._stop_sent:
            return
        try:
            await self._agent.signal(self.sandbox, self.run.id, "stop")
            self._stop_sent = True
        except errors.VaporForgeError as error:
            log.info("%s: stop not delivered yet: %s", self._name(), error)

    # -- the run --
    async def _drive(self, prompt: str | None) -> None:
        await self._reading.known()
        try:
            prompt = await self._lease.persistently(
                lambda: admitted_prompt(self._settings, self._store, self.run, prompt)
            )
        except errors.BadRequest as refused:
            log.warning("%s: %s", self._name(), refused)
            await self._end(RunState.FAILED, refused)
            return
        if self._reading.transcript.state is not None:  # its last frame is recorded, only the end is not
            await self._finish()
        elif self.run.takeovers >= MOST_TAKEOVERS:
            log.warning("%s: taken over %d times without a frame", self._name(), self.run.takeovers)
            error = errors.SandboxFaulty(
                f"The run was taken over {self.run.takeovers} times and no frame of it came, so its sandbox was "
                "stopped; send the prompt again."
            )
            await self._give_up(RunState.FAILED, error)
        backoff = Backoff()
        while not self.ended:
            try:
                upstream = await self._unless_stopped(self._attach(prompt))
                if upstream is None:
                    await self._end(RunState.STOPPED)
                    return
                if await self._follow(upstream):
                    backoff.reset()
                elif not self.ended:
                    await self._bear(errors.SandboxUnavailable("The sandbox breaks off every connection."))
            except errors.VaporForgeError as error:
                await self._judge(error)
            self.sandbox = None
            if not self.ended:
                await asyncio.sleep(backoff.next())

    async def _judge(self, error: errors.VaporForgeError) -> None:
        """What an attempt's error means for the run. Raises it when it means nothing."""
        match error:
            case errors.RunNotFound() | errors.CursorAhead():
                # The sandbox is a new one, and knows why the one before it ended.
                lost = self.sandbox.lost_before if self.sandbox else ""
                await self._end(RunState.LOST, lost=lost or "gone")
            case errors.BadRequest():
                await self._end(RunState.FAILED, error)
            case errors.RunTooLarge():
                log.warning("%s: %s", self._name(), error)
                if await self._stop_sandbox():
                    await self._end(RunState.FAILED, error)
            case errors.SandboxFaulty():
                log.warning("%s: %s", self._name(), error)
                if self._trust.broke_protocol() and await self._stop_sandbox():
                    await self._end(RunState.FAILED, error)
            case errors.SandboxRetiring():
                await self._stop_sandbox()  # whoever retired it may have died before stopping it
            case errors.SandboxUnstartable() if self._is_nowhere():
                log.warning("%s: %s", self._name(), error)
                await self._end(RunState.FAILED, error)
            case errors.SandboxUnavailable():
                log.warning("%s: %s", self._name(), error)
                await self._bear(error)
            case _:
                raise error

    async def _unless_stopped(self, attaching: Coroutine[Any, Any, Messages]) -> Messages | None:
        """What `attaching` gives; None, and it is given up, when the run is to stop before a sandbox has its query."""
        task = asyncio.create_task(attaching)
        stop = asyncio.create_task(self._stop.wanted.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and not self._handed_over:
                return None
            return await task
        finally:
            for each in (task, stop):
                each.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)

    async def _attach(self, prompt: str | None) -> Messages:
        """Bring the run to where it can be read, and read behind what is recorded."""
        run = self.run
        if run.state is RunState.PENDING:
            query, sandbox, redactor = await asyncio.gather(
                self._lease.persistently(lambda: build_query(self._settings, self._store, run, prompt)),
                self._driver.ensure(run.session),
                self._redactor(),
            )
            self._handed_over = True
            await self._agent.put_pending(sandbox, run.id, query)
        else:
            sandbox, redactor = await asyncio.gather(self._driver.ensure(run.session), self._redactor())
        self._reading.redact(redactor)
        await self._count_takeover()
        self.sandbox = sandbox
        self._changed.notify_all()
        upstream = await self._agent.attach(sandbox, run.id, after=run.recorded, batch=True, recorder=True)
        try:
            await self._lease.mark_running()
        except BaseException:
            async with closing(upstream):
                raise
        if self.run.stop_requested:
            await self.ask_stop()
        return upstream

    async def _redactor(self) -> Redactor | None:
        """What strikes the owner's secrets: they may have changed since the last connection."""
        return await self._lease.persistently(
            lambda: redactor_of(self._settings, self._store, self.run.owner)
        )

    async def _follow(self, upstream: Messages) -> bool:
        """Record what comes until the run ends or the connection breaks; whether that was a sandbox that answers.
        Raises `SandboxFaulty` and `RunTooLarge` for what a sandbox may not send, once what came before is written."""
        refused = await self._reading.connection(upstream)
        self.sandbox = None  # readers go on from the next one, however long the store takes with what is left
        await self._reading.flush()
        came, lasted = self._reading.came, self._reading.lasted
        if came or lasted:
            self._watchdog.reset()
        if came:
            self._trust.frame_came()
        if refused is not None and not self.ended:
            raise refused
        if lasted and not came and self._trust.broke_off():
            raise errors.SandboxFaulty("The sandbox breaks off every connection, and no frame comes.")
        return came or lasted

    def _is_sound(self) -> bool:
        """Whether the sandbox has been read for so long that what it sends does this gateway no harm."""
        seconds = SOUND_LEASES * self._settings.lease_seconds
        return (
            self._reading.attached_at is not None and time.monotonic() - self._reading.attached_at > seconds
        )

    def _is_nowhere(self) -> bool:
        """Whether no sandbox ever had the run's query: one that had it may have left frames behind."""
        return self.run.state is RunState.PENDING and not self._handed_over

    async def _count_takeover(self) -> None:
        """Count this recorder, once, where it has taken the run over: before it reads anything of the sandbox."""
        if not self._counted and self.run.generation > 1:
            self._counted = True
            await self._lease.set_takeovers(self.run.takeovers + 1)

    async def _bear(self, error: errors.SandboxUnavailable) -> None:
        """Wait for a sandbox that cannot be reached; after long restart it once, after long again end the run."""
        if not self._watchdog.expired():
            return
        # It may be frozen and wake later: only once it is surely stopped may anybody else say how its run ended,
        # unless it never had the query.
        if not await self._stop_sandbox() and self._handed_over:
            self._watchdog.reset()
        elif self._watchdog.expired_twice():
            lost = self.run.state is RunState.RUNNING
            await self._end(RunState.LOST if lost else RunState.FAILED, error)

    async def _give_up(self, state: RunState, error: errors.SandboxFaulty | None = None) -> None:
        """Stop the sandbox, however long that takes, and end the run with what is recorded."""
        self.sandbox = None
        backoff = Backoff(first=0.2, most=5.0)
        while True:
            if await self._stop_sandbox():
                break
            await asyncio.sleep(backoff.next())
        await self._end(state, error)

    async def _cut_short(self) -> None:
        """End a run that was asked to stop and goes on."""
        if self._reading.transcript.state is not None:  # its end came in this very moment
            await self._end(RunState.STOPPED)
            return
        seconds = self._stop.seconds
        log.warning("%s: not stopped within %g s: its sandbox is stopped", self._name(), seconds)
        await self._give_up(RunState.STOPPED)

    async def _stop_sandbox(self) -> bool:
        """Whether it is surely stopped."""
        await self._lease.confirm()  # a gateway that was paused must not stop its successor's sandbox
        try:
            await self._driver.stop(self.run.session)
        except errors.VaporForgeError as error:
            log.warning("%s: its sandbox could not be stopped: %s", self._name(), error)
            return False
        return True

    # -- ends --
    async def _finish(self) -> None:
        self._finishing = True
        state = self._reading.transcript.state or RunState.FAILED
        message = self._reading.transcript.message(self.run, now=time.time())
        await self._lease.finish(state, self._reading.transcript.reason, message)
        self.ended = True
        self._changed.notify_all()
        log.info("%s: %s", self._name(), self.run.state)

    async def _end(
        self, state: RunState, error: errors.VaporForgeError | None = None, *, lost: str = "gone"
    ) -> None:
        """End a run whose sandbox cannot say its end: the last frames are written here, behind what is recorded."""
        await self._reading.flush()
        if self._reading.transcript.state is not None:  # it has said it
            await self._finish()
            return
        await self._lease.mark_running()
        await self._reading.end_with(last_frames(self.run, state, error, lost=lost))
        await self._finish()

    def _name(self) -> str:
        return f"session {self.run.session} run {self.run.id}"
