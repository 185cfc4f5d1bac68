"""What is told of hosts: to the session's run that one was not reached, and to the log what a stack has learned."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.egress.policy import Blocked

log = logging.getLogger(__name__)

Tell = Callable[[str, str, Blocked, bool], Awaitable[None]]
"""Told of a session's host that was not reached, why, and whether the session's owner may allow it."""

AGAIN_SECONDS: Final = 5.0
"""A client that tries again at once is told once; the run keeps one frame a host anyway."""

REMEMBERED: Final = 4096

WAITING: Final = 32
"""Hosts of one session that wait to be told, one after another, however slow its sandbox is; more are counted alone."""

LEARNED: Final = "egress learned: %s"
"""The line of the log that `scripts/egress` looks for."""


class Told:
    """Tells each thing once, without anybody's waiting for it."""

    def __init__(self, tell: Tell, *, asks: bool) -> None:
        self._tell = tell
        self._asks = asks
        self._recent: dict[tuple[str, str], float] = {}
        self._learned: set[str] = set()
        self._waiting: dict[str, deque[tuple[str, Blocked]]] = {}
        self._telling: set[asyncio.Task[None]] = set()

    def blocked(self, session: str, host: str, why: Blocked) -> None:
        """A host was not reached."""
        now = asyncio.get_running_loop().time()
        key = (session, host)
        waiting = self._waiting.get(session)
        if self._recent.get(key, 0.0) > now or (waiting is not None and len(waiting) >= WAITING):
            return
        self._recent.pop(key, None)
        while len(self._recent) >= REMEMBERED:
            del self._recent[next(iter(self._recent))]
        self._recent[key] = now + AGAIN_SECONDS
        log.info("session %s: egress to %s is blocked (%s)", session, host, why)
        if waiting is not None:
            waiting.append((host, why))
            return
        self._waiting[session] = deque([(host, why)])
        task = asyncio.create_task(self._tell_all(session))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def learned(self, host: str) -> None:
        """A host was reached that is on no list."""
        if host not in self._learned and len(self._learned) < REMEMBERED:
            self._learned.add(host)
            log.info(LEARNED, host)

    async def close(self) -> None:
        """Let go of what is still being told."""
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    async def _tell_all(self, session: str) -> None:
        waiting = self._waiting[session]
        try:
            while waiting:
                host, why = waiting.popleft()
                await self._tell_one(session, host, why)
        finally:
            del self._waiting[session]

    async def _tell_one(self, session: str, host: str, why: Blocked) -> None:
        try:
            await self._tell(session, host, why, self._asks and why is Blocked.HOST)
        except Exception:
            log.exception("session %s: a blocked host was not told", session)
