"""`Audit`: takes events at once, and writes them behind whoever acted, a block at a time."""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from gateway.audit.chain import Block, Head, canonical, following, seal_of
from gateway.audit.events import Event, Sampler, day_of, iso
from gateway.errors import VaporForgeError

log = logging.getLogger(__name__)

DAY: Final = 86_400.0

WRITE_SECONDS: Final = 1.0
"""Events wait for so long at least, so that a gateway writes a block a second at most: a gateway that is killed loses
what it has not written."""

MOST_SECONDS: Final = 10.0
"""And for so long where many gateways write at once, or the store is away."""

BLOCK_EVENTS: Final = 200
BLOCK_BYTES: Final = 128 * 1024
"""Events of a block, and what they take as JSON: an item has 400 KB at most."""

WAITING: Final = 10_000
"""Events that wait while the store takes none; what comes on top is written to the log alone, and counted as lost."""

CLOSE_SECONDS: Final = 1.5
"""How long the last events may take to be written when the gateway ends; then they go to the log."""

REFUSALS_EACH, REFUSALS = 1, 100
"""Refusals that are recorded in a minute, of one kind, user and address, and in all: anybody can make more."""

SAMPLED: Final = frozenset({"refused", "egress-block"})
"""What anybody, or any sandbox, can make happen as often as they like."""

ACTS: Final = 3_000
"""Other events that are recorded in a minute."""


def _key_of(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"vaporforge: audit", "sha256")


class Rows(Protocol):
    """Where blocks are kept."""

    async def head(self) -> Head:
        """The newest block's."""

    async def append(self, block: Block, *, expires_at: int) -> bool:
        """Add a block behind the head; False where that is another one by now."""


class Audit:
    """Records events of this gateway. `record` never waits, never fails and never writes: what it costs whoever acts is
    some microseconds.

    `recorded`, `lost`: events that are in the chain, and that the store never took. `secret`: for the blocks' seals;
    `accepted`: another one, whose seals count too.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        gateway: str,
        secret: str,
        accepted: str = "",
        days: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rows = rows
        self._gateway = gateway
        self._keys = [_key_of(known) for known in (secret, accepted) if known]
        self._days = days
        self._clock = clock
        self._waiting: deque[Event] = deque()
        self._refusals = Sampler(each=REFUSALS_EACH, most=REFUSALS)
        self._acts = Sampler(each=ACTS, most=ACTS)
        self._head: Head | None = None
        self._tried: Block | None = None
        self._came = asyncio.Event()
        self._seconds = WRITE_SECONDS
        self.recorded = self.lost = 0

    def has_sealed(self, block: Block) -> bool:
        """Whether the block's seal is one of this stack's."""
        return any(hmac.compare_digest(block.seal, seal_of(key, block.hash)) for key in self._keys)

    @property
    def waiting(self) -> int:
        """Events that are not written yet."""
        return len(self._waiting)

    def record(
        self,
        kind: str,
        *,
        who: str = "",
        session: str = "",
        address: str = "",
        outcome: str = "ok",
        **details: str | int,
    ) -> None:
        """Record that `who` did `kind`: see `Event`. Never content: no prompt, no text, no value of a setting."""
        event = Event(self._clock(), kind, who, session, address, outcome, details)
        sampler = self._refusals if kind in SAMPLED else self._acts
        if sampler.take(event):
            self._put(event)
        self._came.set()

    async def write_forever(self) -> None:
        """Write what is recorded until cancelled; `close` writes the rest."""
        while True:
            await self._came.wait()
            await asyncio.sleep(self._seconds)
            self._came.clear()
            try:
                await self.flush()
            except VaporForgeError:
                pass  # it was said, and is tried again
            except Exception:
                log.exception("audit: %d events are not written", len(self._waiting))
            if self._waiting or self._counts:
                self._came.set()

    async def flush(self) -> None:
        """Write all that waits. Raises `StoreUnavailable`, and keeps what is not written."""
        self._tell_counted()
        while self._waiting:
            try:
                written = await self._append(min(BLOCK_EVENTS, len(self._waiting)))
            except VaporForgeError as error:
                self._seconds = min(MOST_SECONDS, self._seconds * 2)
                log.warning("audit: %d events wait for the store: %s", len(self._waiting), error)
                raise
            for _ in range(written):
                self._waiting.popleft()
            self.recorded += written

    async def close(self) -> None:
        """Write the rest; what the store does not take in time goes to the log. May be called twice."""
        self._tell_counted(at_once=True)
        try:
            with suppress(VaporForgeError, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self.flush()
        finally:
            while self._waiting:
                self._lose(self._waiting.popleft())

    @property
    def _counts(self) -> bool:
        return self._refusals.counts or self._acts.counts

    def _put(self, event: Event) -> None:
        if len(self._waiting) >= WAITING:
            self._lose(event)
        else:
            self._waiting.append(event)

    def _lose(self, event: Event) -> None:
        self.lost += 1
        log.error("audit: not kept: %s", canonical(event.json()))

    def _tell_counted(self, *, at_once: bool = False) -> None:
        now = self._clock()
        for sampler in (self._refusals, self._acts):
            for event in sampler.over(now, at_once=at_once):
                self._put(event)

    async def _append(self, count: int) -> int:
        """Add one block of at most `count` events that wait, behind whatever others add meanwhile; how many it has.

        A block of which nobody knows whether it came to be is tried again as it is: then either is success."""
        while True:
            block = self._tried or await self._following(count)
            self._tried = block
            added = await self._rows.append(block, expires_at=math.ceil(self._clock() + self._days * DAY))
            self._tried = None
            if added:
                self._is_newest(block)
                return len(block.events)
            self._head = None
            self._seconds = min(MOST_SECONDS, self._seconds * 1.5)

    async def _following(self, count: int) -> Block:
        head = self._head if self._head is not None else await self._rows.head()
        now = self._clock()
        said: list[dict[str, Any]] = []
        size = 0
        for at in range(count):
            event = self._waiting[at].json()
            size += len(canonical(event).encode())
            if said and size > BLOCK_BYTES:
                break
            said.append(event)
        return following(
            head, day=day_of(now), gateway=self._gateway, at=iso(now), events=said, key=self._keys[0]
        )

    def _is_newest(self, block: Block) -> None:
        self._head = Head(block.day, block.number, block.hash)
        self._seconds = max(WRITE_SECONDS, self._seconds / 1.2)
        # What the table's owner could not take back: who compares finds a chain that was cut off at its end.
        log.info("audit: %s block %d is %s", block.day, block.number, block.hash)
