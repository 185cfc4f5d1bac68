"""A store that watches over its gateway's fenced writes and can freeze it; and where what went wrong is gathered."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.store.dynamo import DynamoStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.config import Settings
    from gateway.model import Run

RETRY_SECONDS = 0.05
"""Seconds for which an operation is tried: not long, so that its callers' own repeats are tested too."""

WRITES = ("update_item", "transact_write_items")


class Wrongs(logging.Handler):
    """What must not happen and would otherwise be swallowed: a broken promise, an error in anybody's log."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(self.format(record))

    def add(self, what: str) -> None:
        self.found.append(what)


class Generations:
    """The newest generation of each run's lease that anybody has seen."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def note(self, run: Run) -> None:
        """A run was seen."""
        self._known[run.id] = max(run.generation, self.newest(run.id))

    def newest(self, run: str) -> int:
        """0 where none was seen."""
        return self._known.get(run, 0)


@dataclass
class _Write:
    """A fenced write under way. `newest`: the newest generation that anybody knew of when its first request left."""

    run: str
    newest: int | None = None


_write: ContextVar[_Write] = ContextVar("write")


class WatchedStore(DynamoStore):
    """A gateway's store whose gateway can be frozen; it notes leases, and every fenced write that went through though
    the lease was known to be another's."""

    def __init__(
        self, settings: Settings, clock: Callable[[], float], generations: Generations, wrongs: Wrongs
    ) -> None:
        super().__init__(settings, clock=clock, retry_seconds=RETRY_SECONDS)
        self._generations, self._wrongs = generations, wrongs
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._points = 0
        self.held = 0
        """How many requests and answers wait, as this gateway is frozen."""
        call = self._table.call

        async def gated(operation: str, **request: Any) -> dict[str, Any]:
            await self._point()
            if operation in WRITES and (write := _write.get(None)) is not None and write.newest is None:
                write.newest = generations.newest(write.run)
            answer = await call(operation, **request)
            await self._point()
            return answer

        self._table.call = gated  # type: ignore[method-assign]

    def freeze(self, points: int = 0) -> None:
        """Nothing gets to the table or back from it: from now on, or from so many requests and answers later."""
        self._points = points
        if not points:
            self._thawed.clear()

    def thaw(self) -> None:
        """Go on."""
        self._points = 0
        self._thawed.set()

    async def _point(self) -> None:
        if self._points:
            self._points -= 1
            if not self._points:
                self._thawed.clear()
        self.held += 1
        try:
            await self._thawed.wait()
        finally:
            self.held -= 1

    async def _fenced(self, run: Run, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        write = _Write(run.id)
        _write.set(write)
        result = await call()
        if result is not None and run.generation < (write.newest or 0):
            self._wrongs.add(f"{name} by generation {run.generation}, behind {write.newest}")
        return result

    async def take_lease(self, run: Run, **lease: Any) -> Run | None:
        taken = await super().take_lease(run, **lease)
        if taken is not None:
            self._generations.note(taken)
        return taken

    async def renew_lease(self, run: Run, **lease: Any) -> Run | None:
        found: Run | None = await self._fenced(
            run, "renewed", lambda: DynamoStore.renew_lease(self, run, **lease)
        )
        return found

    async def mark_running(self, run: Run) -> Run | None:
        found: Run | None = await self._fenced(run, "marked", lambda: DynamoStore.mark_running(self, run))
        return found

    async def append_frames(self, run: Run, **frames: Any) -> Run | None:
        found: Run | None = await self._fenced(
            run, "appended", lambda: DynamoStore.append_frames(self, run, **frames)
        )
        return found

    async def finish_run(self, run: Run, **end: Any) -> tuple[Run, Run | None] | None:
        found: tuple[Run, Run | None] | None = await self._fenced(
            run, "finished", lambda: DynamoStore.finish_run(self, run, **end)
        )
        return found
