"""The `ecs` driver: one Fargate task a session, started once however many ask, found again by any gateway."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from container.protocol import RUN_ID
from gateway import errors
from gateway.concurrency.backoff import Backoff
from gateway.concurrency.single_flight import SingleFlight
from gateway.sandboxes.drivers import Sandbox, SandboxState, always
from gateway.sandboxes.drivers.ecs.api import EcsApi
from gateway.sandboxes.drivers.ecs.request import Place, places, run_task
from gateway.sandboxes.drivers.ecs.task import DELETED, STOPPED, Task, forgotten
from gateway.sandboxes.drivers.ecs.tasks import SessionTasks
from gateway.sandboxes.drivers.ecs.troubles import Refused, Trouble, told, trouble_of
from gateway.sandboxes.drivers.fingerprint import fingerprint_of
from gateway.sandboxes.drivers.proof import proven_client
from gateway.sandboxes.drivers.ready import ATTEMPTS, wait_ready

if TYPE_CHECKING:
    import aiohttp

    from gateway.config import Settings

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""Between two looks at a task that starts or stops; looks at several tasks are one request."""

FIRST_PAUSE: Final = 0.5
LAST_PAUSE: Final = 5.0
"""Between two requests for a task, behind botocore's own attempts: the account starts 20 tasks a second (its quota)."""

STOP_SECONDS: Final = 150.0
"""A container has 120 s to end, at most (the task definition's `stopTimeout` on Fargate); its task's state follows."""

CLOCK_SECONDS: Final = 60.0
"""How far AWS's clock and this gateway's may be apart: a task that is older than a request was not started by it."""

CHAIN: Final = 32
"""Ended tasks that one start walks past: as often may a session have been started again while ECS knew the tokens."""


class EcsDriver:
    """Sandboxes as Fargate tasks, which have no volumes: of a stopped one nothing is left, but what it ended of, and
    a new one is fresh.

    Nothing is remembered but which task a session had, and ECS is asked about that one each time: an address from
    earlier may by now be another sandbox's, which would be handed this session's token and prompt.
    """

    def __init__(self, settings: Settings, connect: Callable[[], Any] | None = None) -> None:
        """`connect`: see `EcsApi`."""
        self._settings = settings
        self._api = EcsApi(settings, connect)
        self._http: aiohttp.ClientSession | None = None
        self._tasks = SessionTasks(settings, self._api)
        self._phases: dict[str, str] = {}
        self.names_starts: Callable[[], bool] = always
        self._ensures: SingleFlight[tuple[str, str], Sandbox] = SingleFlight(self._ensure)

    async def ensure(self, session: str, *, occupant: str = "") -> Sandbox:
        """See `Poolable`."""
        return await self._ensures.ask((_checked(session), occupant))

    async def status(self, session: str) -> Sandbox:
        """See `Driver`: ECS knows for an hour at least why a task has ended; then it is absent."""
        _checked(session)
        try:
            task = await self._tasks.find(session) or await self._tasks.last(session)
        except Refused as refused:
            raise told(refused) from refused
        return task.sandbox() if task else Sandbox(session=session, state=SandboxState.ABSENT)

    async def stop(self, session: str) -> None:
        """See `Driver`; returns once nothing of it runs."""
        _checked(session)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                ending = await self._tasks.end(session, STOPPED)
                await asyncio.gather(*(self._tasks.until_ended(task) for task in ending))
        except TimeoutError:
            raise errors.SandboxUnavailable(
                f"The task of session {session} was told to stop and had not ended after {STOP_SECONDS:g} s."
            ) from None
        except Refused as refused:
            raise told(refused) from refused

    async def delete(self, session: str) -> None:
        """See `Driver`; its end is not waited for, since there is nothing to delete behind it."""
        try:
            await self._tasks.end(_checked(session), DELETED)
        except Refused as refused:
            raise told(refused) from refused

    async def list(self) -> Sequence[Sandbox]:
        """See `Driver`: those that run or start, as nothing is left of others. Ends spare tasks."""
        found: dict[str, list[Task]] = {}
        try:
            for task in await self._api.of_stack():
                if task.live and task.session and task.stack == self._settings.stack:
                    found.setdefault(task.session, []).append(task)
            return [(await self._tasks.settled(tasks)).sandbox() for tasks in found.values()]
        except Refused as refused:
            raise told(refused) from refused

    async def fingerprint(self) -> str:
        """See `Poolable`."""
        settings = self._settings
        return fingerprint_of(
            settings.ecs_task_definition,
            *settings.ecs_subnets,
            *settings.ecs_security_groups,
            str(settings.ecs_public_ip),
            str(settings.ecs_spot),
            settings.sandbox_secret,
        )

    async def close(self) -> None:
        """See `Driver`."""
        await self._api.close()
        if self._http is not None:
            await self._http.close()
            self._http = None

    def phase(self, session: str) -> str:
        """What the start that is waited for here is at: the `phase` of a `status` frame; empty when none is."""
        return self._phases.get(session, "")

    # -- start --
    async def _ensure(self, asked: tuple[str, str]) -> Sandbox:
        session, occupant = asked
        try:
            deadline = asyncio.get_running_loop().time() + self._settings.start_seconds
            return await self._ready(session, occupant, deadline)
        except Refused as refused:
            raise told(refused) from refused
        finally:
            self._phases.pop(session, None)

    async def _ready(self, session: str, occupant: str, deadline: float) -> Sandbox:
        ended = ""
        for _ in range(ATTEMPTS):
            task = await self._tasks.find(session)
            starts = task is None or not task.running
            if task is None:
                task = await self._start(session, deadline)
            sandbox = await self._wait(task, occupant, deadline)
            if sandbox.state is not SandboxState.RUNNING:
                ended = await self._why(session, task)
                continue
            # Two gateways that knew of different tasks before have started one each.
            kept = await self._tasks.find(session, anew=True) if starts else None
            if kept is None or kept.arn == task.arn:
                return sandbox
        raise errors.SandboxUnavailable(
            f"The sandbox of session {session} ended while it started ({ended or 'it was stopped'}); "
            "its task's log says why."
        )

    async def _start(self, session: str, deadline: float) -> Task:
        """A live task that was just started, here or by another gateway with the same client token."""
        clock = asyncio.get_running_loop().time
        before = await self._tasks.last(session)
        pauses = Backoff(first=FIRST_PAUSE, most=LAST_PAUSE)
        todo = list(places(self._settings))
        self._phases[session] = "sandbox-placing"
        while True:
            try:
                task = await self._run(session, todo[0], before)
            except Refused as refused:
                log.warning("session %s: no task (%s): %s", session, refused.trouble.value, refused.said)
                if refused.trouble in (Trouble.QUOTA, Trouble.LASTING):
                    raise
                if refused.trouble is Trouble.CAPACITY and len(todo) > 1:
                    del todo[0]
                    continue
                if refused.trouble is Trouble.CAPACITY:
                    todo = list(places(self._settings))
                pause = pauses.next()
                if clock() + pause >= deadline:
                    raise
                await asyncio.sleep(pause)
            else:
                self._tasks.remember(session, task)
                return task

    async def _run(self, session: str, place: Place, before: Task | None) -> Task:
        for _ in range(CHAIN):
            begun = time.time()
            try:
                request = run_task(self._settings, session, place, before, named=self.names_starts())
                task = await self._api.run(request)
                # To a token that it knows ECS says what it said then, of a task that it has forgotten too.
                old = task.created_at <= begun - CLOCK_SECONDS
                now = await self._api.describe(task.arn)
                task = now or (forgotten(task.arn, session) if old else task)
            except Refused as refused:
                # A gateway with other settings, as in an update, has started it.
                if refused.trouble is not Trouble.CONFLICT or not refused.tasks:
                    raise
                arn = refused.tasks[0]
                task = await self._api.describe(arn) or forgotten(arn, session)
            if task.live or task.created_at > begun - CLOCK_SECONDS:
                log.info("session %s: task %s", session, task.arn)
                return task
            before = task  # the token is of a task that has ended since: the next one follows from it
        raise Refused(Trouble.AWAY, "too many ended tasks have this session's client tokens.")

    async def _wait(self, task: Task, occupant: str, deadline: float) -> Sandbox:
        if self._http is None:
            self._http = proven_client()

        now = task

        async def look() -> Sandbox:
            nonlocal now
            # RunTask's answer may be ahead of what DescribeTasks knows.
            now = await self._api.describe(task.arn) or task
            self._phases[task.session] = now.phase
            return now.sandbox()

        if not task.running:
            self._phases[task.session] = task.phase
        try:
            return await wait_ready(
                task.sandbox(),
                client=self._http,
                secret=self._settings.sandbox_secret,
                accepted=self._settings.sandbox_secret_accepted,
                look=look,
                look_seconds=LOOK_SECONDS,
                seconds=max(0.0, deadline - asyncio.get_running_loop().time()),
                occupant=occupant,
            )
        except errors.SandboxUnavailable as error:
            if now.running:
                raise
            raise errors.SandboxUnavailable(
                f"The task of session {task.session} has not started within {self._settings.start_seconds:g} s and "
                "goes on starting; send the prompt again."
            ) from error

    async def _why(self, session: str, task: Task) -> str:
        """Why a task that was waited for has ended. Raises `Refused` where another one would meet the same."""
        now = await self._api.describe(task.arn) or task
        log.warning("session %s: its task ended while it started: %s", session, now.failure)
        if trouble_of("", now.failure) in (Trouble.QUOTA, Trouble.LASTING):
            raise Refused(trouble_of("", now.failure), now.failure)
        return now.lost_reason


def _checked(session: str) -> str:
    if not RUN_ID.fullmatch(session):
        raise errors.BadRequest("The session's id is malformed.", field="sessionId")
    return session
