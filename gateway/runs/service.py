"""Runs of every session: admission, and the recorders of the runs whose lease this gateway holds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp

from gateway import errors
from gateway.broker.credentials import require_credential
from gateway.concurrency.aside import Aside
from gateway.concurrency.condition import Condition
from gateway.concurrency.single_flight import SingleFlight
from gateway.config import Settings
from gateway.ids import new_id
from gateway.model import Admission, Author, NewRun, OnBusy, Run, RunState, Session
from gateway.prompt import PromptRequest, parse_prompt
from gateway.quotas.service import Quotas
from gateway.runs.allowance import PromptAllowance
from gateway.runs.recording.recorder import Recorder
from gateway.runs.recording.run_lease import LeaseLost
from gateway.runs.recording.seal import sealed
from gateway.runs.replays import Replays
from gateway.runs.signals import Signals
from gateway.runs.stats import Stats
from gateway.sandboxes.agent_client import AgentClient
from gateway.sandboxes.drivers import Driver, Sandbox
from gateway.sandboxes.places import SandboxPlaces
from gateway.sandboxes.uses import Uses
from gateway.store import Store
from gateway.websocket.pace import Pace

log = logging.getLogger(__name__)


class RunService:
    """Everything about runs that this gateway does; use it as an async context manager.

    `recorders`: the runs that are driven here. `changed`: notified when one of them starts, moves or ends.
    `drained`: set once readers must go elsewhere. `session`, `run` (by session and run), `sandbox` (which is woken):
    what every reader asks when it comes; a crowd of them makes one call. `uses`: sessions whose relay is open here.
    `refuse_new`: asked before a prompt is admitted; it raises where none is now. `when_ended`: told of a run's session
    once its end is in the store; it returns at once.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        driver: Driver,
        client: aiohttp.ClientSession,
        stats: Stats,
    ) -> None:
        self.settings = settings
        self.store = store
        self.driver = driver
        self.stats = stats
        self.pace = Pace(
            frames=settings.stream_frames_per_second,
            size=settings.stream_mb_per_second * 1024 * 1024,
            hollow=settings.stream_control_burst,
        )
        self.agent = AgentClient(
            client, settings.sandbox_secret, self.pace, accepted=settings.sandbox_secret_accepted
        )
        self.session: SingleFlight[str, Session] = SingleFlight(lambda session: store.get_session(session))
        self.run: SingleFlight[tuple[str, str], Run] = SingleFlight(lambda names: store.get_run(*names))
        self.sandbox: SingleFlight[str, Sandbox] = SingleFlight(lambda session: driver.ensure(session))
        self.replays = Replays(store)
        self.quotas = Quotas(settings, store)
        self.places = SandboxPlaces(settings, store, driver)
        self.gateway = new_id()
        self.changed = Condition()
        self.drained = asyncio.Event()
        self.recorders: dict[str, Recorder] = {}
        self.when_ended: Callable[[str], None] = lambda _session: None
        self.refuse_new: Callable[[], None] = lambda: None
        self.uses = Uses(store)
        self.signals = Signals(store, driver, self.agent, self.changed, self.recorder_of)
        self._aside = Aside()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._submits: set[asyncio.Task[Admission]] = set()
        self._forgotten: set[str] = set()
        self._warming: dict[str, asyncio.Task[None]] = {}
        self._drained_by = 0.0

    @property
    def draining(self) -> bool:
        """Whether this gateway is shutting down: it admits nothing and takes over nothing."""
        return self.drained.is_set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drain()

    # -- prompts --
    async def submit(
        self, session: Session, user: str, fields: Mapping[str, Any], author: Author | None = None
    ) -> Admission:
        """Admit the prompt in `fields`, whose sender may use the session: in the store when this returns, and driven by
        nobody's connection from then on. `author`: whose commits the agent makes.

        Raises `BadRequest`, `CredentialMissing`, `SessionBusy`, `QueueFull`, `SessionGone`, `RateLimited`,
        `QuotaReached`, `DiskLow`, `Draining` or `StoreUnavailable`.
        """
        task = asyncio.create_task(self._submit(session, user, fields, author), name=f"submit {session.id}")
        self._submits.add(task)
        task.add_done_callback(self._submitted)
        return await asyncio.shield(task)  # a client that leaves meanwhile leaves no half-started run

    def _submitted(self, task: asyncio.Task[Admission]) -> None:
        self._submits.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.info("a prompt was not admitted: %s", error)  # said here too: its client may have left

    async def _submit(
        self, session: Session, user: str, fields: Mapping[str, Any], author: Author | None
    ) -> Admission:
        with self.stats.admission():
            request = parse_prompt(fields)
            admission = await self._admit(session, user, request, author)
            self.stats.admitted(admission)
        if not admission.duplicate and not admission.position:
            await self.drive(admission.run, request.prompt)
        if admission.position and request.on_busy is OnBusy.INTERRUPT:
            await self._interrupt(admission)
        return admission

    async def _interrupt(self, admission: Admission) -> None:
        """Stop what is in front of an admitted prompt: also when it is sent again, as the first try may have died
        in between. The prompt is admitted whatever comes of this."""
        waiting = admission.run
        try:
            active = admission.active or (await self.store.get_session(waiting.session)).active_run
            if active is not None and active != waiting.id:
                await self.signals.stop(waiting.session, active)
        except errors.VaporForgeError as error:
            log.warning("session %s run %s: not interrupted: %s", waiting.session, waiting.id, error)

    async def _admit(
        self, session: Session, user: str, request: PromptRequest, author: Author | None
    ) -> Admission:
        if self.draining:
            raise errors.Draining("This gateway is shutting down; send the same prompt again.")
        await require_credential(self.store, self.settings, user)
        self.warm(session)
        new = NewRun(
            id=new_id(),
            session=session.id,
            owner=user,
            message=request.message_id or new_id(),
            prompt=request.prompt,
            mode=request.mode,
            cwd=request.cwd,
            created_at=time.time(),
            author=author,
        )
        return await self.store.create_run(
            sealed(self.settings, new),
            on_busy=request.on_busy,
            queue_limit=self.settings.queue_limit,
            gateway=self.gateway,
            lease_seconds=self.settings.lease_seconds,
            allowance=PromptAllowance(self.quotas.prompt(user), lambda: self._room(session)),
        )

    async def _room(self, session: Session) -> None:
        self.refuse_new()
        await self.places.claim(session)

    def warm(self, owned: Session) -> None:
        """Wake the session's sandbox beside what the caller does next; the owner was checked before."""
        session = owned.id
        if session in self._warming or self.draining:
            return

        async def wake() -> None:
            try:
                await self.places.claim(owned)
                await self.driver.ensure(session)
            except errors.VaporForgeError as error:
                log.warning("session %s: not woken ahead: %s", session, error)

        task = asyncio.create_task(wake(), name=f"warm {session}")
        self._warming[session] = task
        task.add_done_callback(lambda _: self._warming.pop(session, None))

    # -- recorders --
    def start_recorder(self, run: Run, prompt: str | None = None) -> None:
        """Drive a run whose lease this gateway holds."""
        if run.id in self._tasks or self.draining:
            return
        recorder = Recorder(
            run,
            settings=self.settings,
            store=self.store,
            driver=self.driver,
            agent=self.agent,
            changed=self.changed,
            aside=self._aside,
            gateway=self.gateway,
        )
        self.recorders[run.id] = recorder
        self._tasks[run.id] = asyncio.create_task(self._record(recorder, prompt), name=f"record {run.id}")
        self.changed.notify_all()

    async def _record(self, recorder: Recorder, prompt: str | None) -> None:
        run, promoted = recorder.run, None
        try:
            promoted = await recorder.record(prompt)
            self.stats.lost += recorder.run.state is RunState.LOST
        except LeaseLost:
            log.info("session %s run %s: another gateway's now", run.session, run.id)
        except asyncio.CancelledError:
            if recorder.run.session not in self._forgotten:
                await recorder.hand_over()
            raise
        except Exception:
            # The lease runs out by itself and a sweeper takes the run over from what is recorded.
            log.exception("session %s run %s: the recorder failed", run.session, run.id)
        finally:
            self.recorders.pop(run.id, None)
            self._tasks.pop(run.id, None)
            self.changed.notify_all()
        if recorder.ended:
            self.when_ended(run.session)
        if promoted is not None:
            await self.drive(promoted)

    async def drive(self, run: Run, prompt: str | None = None) -> None:
        """Start a run that is ours, or leave it to another gateway when this one is going away. A gateway that was
        paused may hear of its run when another has taken it over: a recorder would then write under that one's lease.
        """
        if run.lease_owner != self.gateway:
            log.info("session %s run %s: another gateway's already", run.session, run.id)
        elif self.draining:
            await self.store.release_lease(run)
        else:
            self.start_recorder(run, prompt)

    def recorder_of(self, session: str, run: str | None) -> Recorder | None:
        """The recorder of the session's run (None: the active one), when it is driven here and has not ended."""
        for recorder in self.recorders.values():
            if recorder.run.session == session and run in (None, recorder.run.id) and not recorder.ended:
                return recorder
        return None

    async def forget(self, session: str) -> None:
        """Let go of a session that is being deleted: its recorders here end and write nothing more, nor is their
        lease given back for another gateway to take."""
        mine = [
            self._tasks[key] for key, recorder in self.recorders.items() if recorder.run.session == session
        ]
        self._forgotten.add(session)
        try:
            for task in mine:
                task.cancel()
            await asyncio.gather(*mine, return_exceptions=True)
        finally:
            self._forgotten.discard(session)

    # -- shutdown --
    def beside(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Run `work` beside the runs until this gateway drains, which cancels it."""
        self._background.add(asyncio.create_task(work, name=name))

    async def drain(self) -> None:
        """Stop admitting, send readers elsewhere, write what is buffered, give every lease back: within `drain_seconds`
        from the first call on, at most half of them for prompts that are being admitted. Twice is fine."""
        clock = asyncio.get_running_loop().time
        if not self.draining:
            self._drained_by = clock() + self.settings.drain_seconds
        self.drained.set()
        self.changed.notify_all()
        if self._submits:
            await asyncio.wait(self._submits, timeout=max(0.0, self._drained_by - clock()) / 2)
        tasks = [*self._background, *self._warming.values(), *self._tasks.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, self._drained_by - clock()))
        self._background.clear()
