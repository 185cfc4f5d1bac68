"""A session's tasks as ECS knows them: the one that lives, the one that ended last, and the end of all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gateway.concurrency.backoff import Backoff
from gateway.sandboxes.drivers.ecs.task import SPARE, Task
from gateway.sandboxes.drivers.ecs.troubles import Refused

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.sandboxes.drivers.ecs.api import EcsApi

log = logging.getLogger(__name__)

KNOWN: Final = 16_384
"""Sessions whose task is remembered."""

END_LOOK_SECONDS: Final = 1.0


class SessionTasks:
    """Finds and ends tasks; of two that live for one session the oldest stays. Every method raises `Refused`.

    Which task a session had is remembered, as listing is dearer than looking at one and tells less: the answer is
    ECS's each time.
    """

    def __init__(self, settings: Settings, api: EcsApi) -> None:
        self._settings = settings
        self._api = api
        self._known: dict[str, str] = {}

    async def find(self, session: str, *, anew: bool = False) -> Task | None:
        """The session's live task. `anew`: as ECS lists it, whatever is remembered."""
        known = self._known.get(session)
        if known and not anew:
            task = await self._api.describe(known)
            if task is not None and task.live and task.session == session:
                return task
        live = [task for task in await self._api.of_session(session) if self._is_ours(task, session)]
        if not live:
            return None
        kept = await self.settled(live)
        self.remember(session, kept)
        return kept

    async def last(self, session: str) -> Task | None:
        """The session's last task, of those that ECS has not forgotten."""
        ended = [task for task in await self._ended(session) if task.stop_reason != SPARE]
        known = self._known.get(session)
        if known and all(task.arn != known for task in ended):
            task = await self._api.describe(known)
            ended += [task] if task is not None and not task.live else []
        return max(ended, key=lambda task: task.age, default=None)

    async def _ended(self, session: str) -> list[Task]:
        try:
            found = await self._api.of_session(session, stopped=True)
        except Refused as refused:
            # ListTasks's reference wants `startedBy` to be the only filter: then only what is remembered is known.
            if not refused.said.startswith("InvalidParameterException"):
                raise
            log.info("session %s: its ended tasks are not listed: %s", session, refused.said)
            return []
        return [task for task in found if task.session == session and not task.live]

    async def settled(self, live: Sequence[Task]) -> Task:
        """The task that stays of a session's (one at least); the others are stopped."""
        kept = min(live, key=lambda task: task.age)
        for task in live:
            if task.arn != kept.arn:
                log.warning("session %s: a second task %s is stopped", task.session, task.arn)
                await self._api.stop(task.arn, SPARE)
        return kept

    def _is_ours(self, task: Task, session: str) -> bool:
        return task.live and task.session == session and task.stack in ("", self._settings.stack)

    def remember(self, session: str, task: Task) -> None:
        """This is the session's task, as far as this gateway knows."""
        self._known.pop(session, None)
        while len(self._known) >= KNOWN:
            del self._known[next(iter(self._known))]
        self._known[session] = task.arn

    async def end(self, session: str, reason: str) -> Sequence[Task]:
        """Stop every task of the session; those of which something may still run."""
        known = self._known.get(session)
        tasks = {task.arn: task for task in await self._api.of_session(session) if task.session == session}
        for task in (*await self._ended(session), await self._api.describe(known) if known else None):
            if task is not None and task.session == session:
                tasks[task.arn] = task
        for task in tasks.values():
            if task.live:
                await self._api.stop(task.arn, reason)
                log.info("session %s: task %s is stopped", session, task.arn)
        return [task for task in tasks.values() if not task.ended]

    async def until_ended(self, task: Task) -> None:
        """Return once nothing of the task runs."""
        pauses = Backoff(first=0.1, most=END_LOOK_SECONDS)
        now: Task | None = await self._api.describe(task.arn)
        while now is not None and not now.ended:
            await asyncio.sleep(pauses.next())
            now = await self._api.describe(task.arn)
