"""One call of the model's API: what it costs as it goes on, and where it is cut."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gateway.broker.metering.budget import Budget, slice_of
from gateway.broker.metering.shares import Books, Shares
from gateway.broker.metering.usage import BYTES_PER_TOKEN, EVENT_BYTES, Usage, UsageReader
from gateway.concurrency.backoff import Backoff

if TYPE_CHECKING:
    from gateway.broker.metering.prices import Price
    from gateway.errors import BudgetExceeded
    from gateway.model import Session

log = logging.getLogger(__name__)

MOST_PROMPT: Final = 1_000_000
MOST_ANSWER: Final = 128_000
"""Tokens: no model takes or writes more in one call, whatever a sandbox sends or asks for. What is held for a call is
kept from everybody else's."""

SETTLE_SECONDS: Final = 600.0
"""For so long what a call has cost is told again and again to a store that is away; then it is an error in the log."""


class MeteredCall:
    """One call: feed it the answer's bytes (`passed`), and `end` it."""

    def __init__(
        self,
        meter: Books,
        session: Session,
        budgets: tuple[Budget, ...],
        found: Price,
        size: int,
        whole: int = 0,
    ) -> None:
        """`size`: of the body, in bytes; `whole`: tokens of an answer that comes all at once and cannot be cut."""
        self._meter = meter
        self._session = session
        self._price = found
        self._slice = slice_of(budgets)
        self._shares = Shares(meter, session, budgets)
        self._whole = min(whole, MOST_ANSWER)
        self._guess = Usage(input=min(size // BYTES_PER_TOKEN, MOST_PROMPT), estimated=True)
        """Of a call that the API has not said anything about."""
        self._reader: UsageReader | None = None
        self._failed = False
        self._cost = 0
        self._told_cost = 0
        self._posting: asyncio.Task[None] | None = None
        self._post_again = False
        self._refusal: BudgetExceeded | None = None
        self._behind_cut = 0
        self._ended = False

    async def hold(self, *, checked: bool) -> None:
        """Hold what the call may cost; not `checked`, it is counted alone. See `Meter.begin`."""
        most = self._price.cost(replace(self._guess, output=self._whole)) + self._slice
        await self._shares.hold(most if checked else 0, checked=checked)

    def answered(self, status: int, content_type: str) -> None:
        """The API's answer begins."""
        self._failed = status >= 400
        self._reader = None if self._failed else UsageReader(content_type)

    def failed(self) -> None:
        """The API did not answer."""
        self._failed = True

    def passed(self, chunk: bytes) -> tuple[bytes, BudgetExceeded | None]:
        """What of the chunk is to be written, and, where the call is over its budget, the error that is to end it: at
        the end of an event, unless that is far away."""
        reader = self._reader
        if reader is None:
            return chunk, None
        began, ended = reader.began, reader.ended
        if reader.feed(chunk):
            self._price = self._meter.prices.of(reader.model) or self._price
            self._cost = self._meter.prices.cost(self._usage(), self._price)
            told = (reader.began, reader.ended) != (began, ended)
            if told or self._cost - self._told_cost >= self._slice:
                self._post()
        if reader.ended or not reader.is_stream:  # It has cost what it has cost.
            return chunk, None
        self._refusal = self._refusal or self._over()
        if self._refusal is None:
            return chunk, None
        if reader.boundary is not None:
            return chunk[: reader.boundary], self._refusal
        self._behind_cut += len(chunk)
        return (chunk, None) if self._behind_cut <= EVENT_BYTES else (b"\n\n", self._refusal)

    @property
    def refusal(self) -> BudgetExceeded | None:
        """Why it was cut."""
        return self._refusal

    def end(self) -> None:
        """No more comes, whatever the reason. May be called again."""
        if self._ended:
            return
        self._ended = True
        if self._reader is not None:
            self._reader.end()
        self._price = (self._meter.prices.of(self._reader.model) if self._reader else None) or self._price
        self._cost = self._meter.prices.cost(self._usage(), self._price)
        self._meter.later(self._settle())

    def _usage(self) -> Usage:
        """What is known. What the API refused costs nothing; what it has begun and not told is taken as guessed."""
        if self._failed:
            return Usage()
        if self._reader is None:
            return self._guess
        if not self._reader.began:
            return Usage(input=self._guess.input, output=self._reader.usage.output, estimated=True)
        return self._reader.usage

    def _over(self) -> BudgetExceeded | None:
        budget = self._shares.over(self._cost)
        if budget is None:
            return None
        refusal = budget.refusal(self._meter.clock())
        log.info("session %s: a call is cut: %s", self._session.id, refusal)
        self._meter.say(self._session, refusal)
        return refusal

    def _post(self) -> None:
        """Tell the store what the call costs so far, beside what goes on."""
        self._told_cost = self._cost
        if self._posting is not None and not self._posting.done():
            self._post_again = True
            return
        self._posting = asyncio.create_task(self._post_all())

    async def _post_all(self) -> None:
        while True:
            self._post_again = False
            await self._shares.tell(self._cost, self._cost + self._slice if self._cost else 0)
            if not self._post_again:
                return

    async def _settle(self) -> None:
        """Tell the store what the call has cost in the end, until it knows."""
        if self._posting is not None:
            await asyncio.wait([self._posting])
        counts = self._usage().counts()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_SECONDS
        backoff = Backoff(first=0.2, most=10.0)
        try:
            while not await self._shares.settle(self._cost, counts):
                if loop.time() > deadline:
                    break
                await asyncio.sleep(backoff.next())
        finally:
            if left := self._shares.unsettled:
                log.error(
                    "session %s: not counted for %s: %d nano-dollars, %s",
                    self._session.id,
                    left,
                    self._cost,
                    counts,
                )
