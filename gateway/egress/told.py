"""What is told of hosts: to the session's run that one was not reached, and to the log what a stack has learned."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from gateway.egress.policy import Blocked

if TYPE_CHECKING:
    from collections.abc import Coroutine

log = logging.getLogger(__name__)

Tell = Callable[[str, str, Blocked, bool], Awaitable[None]]
"""Told of a session's host that was not reached, why, and whether the session's owner may allow it."""

AGAIN_SECONDS: Final = 5.0
"""A client that tries again at once is told once; the run keeps one frame a host anyway."""

REMEMBERED: Final = 4096
AT_ONCE: Final = 32
"""Sandboxes that are told at the same time; more blocked hosts are counted, and not told."""

LEARNED: Final = "egress learned: %s"
"""The line of the log that `scripts/egress` looks for."""


class Told:
    """Tells each thing once, without anybody's waiting for it."""

    def __init__(self, tell: Tell, *, asks: bool) -> None:
        self._tell = tell
        self._asks = asks
        self._recent: dict[tuple[str, str], float] = {}
        self._learned: set[str] = set()
        self._telling: set[asyncio.Task[None]] = set()

    def blocked(self, session: str, host: str, why: Blocked) -> None:
        """A host was not reached."""
        now = asyncio.get_running_loop().time()
        key = (session, host)
        if self._recent.get(key, 0.0) > now or len(self._telling) >= AT_ONCE:
            return
        self._recent.pop(key, None)
        while len(self._recent) >= REMEMBERED:
            del self._recent[next(iter(self._recent))]
        self._recent[key] = now + AGAIN_SECONDS
        log.info("session %s: egress to %s is blocked (%s)", session, host, why)
        may = self._asks and why is Blocked.HOST
        self._beside(self._told(session, host, why, may=may))

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

    async def _told(self, session: str, host: str, why: Blocked, *, may: bool) -> None:
        try:
            await self._tell(session, host, why, may)
        except Exception:
            log.exception("session %s: a blocked host was not told", session)

    def _beside(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
