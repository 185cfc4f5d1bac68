"""The queries that wait for their run: kept in files, waited for with a deadline, and dropped when nobody comes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Container
from typing import Any, Final

from container.errors import BadRequest, InsufficientStorage, NoPendingQuery, PayloadTooLarge
from container.runs.query import PendingStore

log = logging.getLogger(__name__)

PENDING_SECONDS: Final = 10.0
"""How long a connection waits for its run's query."""

KEEP_SECONDS: Final = 600.0
"""A query that nobody connects to for this long is dropped: it would keep the sandbox busy for ever."""


class Pending:
    """What a `PendingStore` holds, with its arrivals and its ages.

    Queries that an earlier agent server had are dropped: whoever still wants one answered leaves it again.
    """

    def __init__(self, store: PendingStore) -> None:
        self._store = store
        self._put_at: dict[str, float] = {}
        self._arrivals = asyncio.Condition()
        store.clear()

    def has(self, run_id: str) -> bool:
        """Whether a query waits for the run."""
        return self._store.has(run_id)

    def is_empty(self) -> bool:
        """Whether no query waits."""
        return self._store.is_empty()

    async def put(self, run_id: str, query: dict[str, Any]) -> None:
        """Keep a run's query; one that is there already stays. Raises InsufficientStorage."""
        try:
            is_new = self._store.put(run_id, {"run": run_id, **query})
        except OSError as error:
            raise InsufficientStorage(f"The query cannot be kept: {error.strerror}.") from error
        if is_new:
            self._put_at[run_id] = time.monotonic()
            async with self._arrivals:
                self._arrivals.notify_all()

    def take(self, run_id: str) -> tuple[dict[str, Any] | None, float]:
        """The run's query, deleted here, or None; and for how many seconds it waited."""
        now = time.monotonic()
        return self._store.take(run_id), now - self._put_at.pop(run_id, now)

    def drop(self, run_id: str) -> None:
        """Forget the run's query."""
        self._store.drop(run_id)
        self._put_at.pop(run_id, None)

    def drop_old(self, runs: Container[str]) -> None:
        """Forget the queries older than KEEP_SECONDS that are for none of `runs`."""
        for run_id, at in list(self._put_at.items()):
            if run_id not in runs and time.monotonic() - at > KEEP_SECONDS:
                log.warning("run %s: nobody asked for its answer; its query is dropped", run_id)
                self.drop(run_id)

    async def arrival(self, run_id: str, is_known: Callable[[], bool]) -> None:
        """Return once the run's query is there, or the run `is_known`. Raises NoPendingQuery after PENDING_SECONDS."""
        async with self._arrivals:
            try:
                async with asyncio.timeout(PENDING_SECONDS):
                    await self._arrivals.wait_for(lambda: is_known() or self.has(run_id))
            except TimeoutError:
                raise NoPendingQuery(f"No query was left for run {run_id}.", field="run") from None

    async def seed(self) -> bytes:
        """What is left at the seed's path: a JSON object, deleted here. A file that is none, or not for this user
        alone, is waited for like one that is not there: its writer may be in the midst of it.

        Raises NoPendingQuery or BadRequest (what is wrong with the file) after PENDING_SECONDS, PayloadTooLarge.
        """
        deadline, pause = time.monotonic() + PENDING_SECONDS, 0.005
        while True:
            refusal: NoPendingQuery | BadRequest
            try:
                data = self._store.take_seed()
                if data is not None:
                    return data
                refusal = NoPendingQuery(f"No query was left at {self._store.seed_path}.")
            except PayloadTooLarge:
                raise
            except BadRequest as error:
                refusal = error
            if time.monotonic() > deadline:
                log.warning("%s", refusal.message)
                raise refusal
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.1)
