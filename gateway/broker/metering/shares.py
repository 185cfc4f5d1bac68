"""A call's part in each budget: held before it goes out, told as it goes on, settled at its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.broker.metering.budget import Budget, has_budget
from gateway.errors import BudgetExceeded, StoreUnavailable, TooMany
from gateway.store.usage import HeldBack, Used

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.broker.metering.prices import Prices
    from gateway.config import Settings
    from gateway.model import Session
    from gateway.store import Store

log = logging.getLogger(__name__)

HOLD_SECONDS: Final = 5.0
"""What the beginning of a call may wait for the store."""

RETRY_SECONDS: Final = 2.0
"""When a call that was refused for what others hold may be sent again."""


class Books(Protocol):
    """What a call needs of the meter that it belongs to."""

    settings: Settings
    store: Store
    prices: Prices
    clock: Callable[[], float]

    @property
    def is_behind(self) -> bool:
        """Whether too much is still to be told to the store."""

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside what goes on."""

    def say(self, session: Session, error: BudgetExceeded) -> None:
        """Show a run why its calls are refused, once."""

    def tell_near(self, session: Session, budget: Budget, used: Used) -> None:
        """Tell the session's run, once, that most of a budget is used up."""


@dataclass(slots=True)
class Share:
    """A call's part of what one budget counts: `cost` and `held` of it are in the store, `counted` once its call is.
    `known`: what all calls together cost, as the store last said."""

    budget: Budget
    known: int = 0
    cost: int = 0
    held: int = 0
    counted: bool = False
    settled: bool = False
    near: bool = False

    def is_over(self, cost: int) -> bool:
        """Whether the budget is used up once the call costs so much."""
        limit = self.budget.limit
        return bool(limit) and self.known - self.cost + cost >= limit


class Shares:
    """All of one call's."""

    def __init__(self, books: Books, session: Session, budgets: Sequence[Budget]) -> None:
        self._books = books
        self._session = session
        self._each = [Share(budget) for budget in budgets]

    async def hold(self, amount: int, *, checked: bool) -> None:
        """Hold what the call may cost. `checked`: budgets that are used up refuse it. See `Meter.begin`."""
        lenient = not (checked and has_budget(self._books.settings))
        if self._books.is_behind:
            if lenient:
                return
            raise StoreUnavailable(
                "What calls of the model cost cannot be counted now; try again in a while."
            )
        full, away = await self._hold_each(amount, checked=checked)
        if full is not None and await self._books.store.usage.settle_held(full[0].key):
            await self._give_back()
            full, away = await self._hold_each(amount, checked=checked)
        if full is None and (away is None or lenient):
            return
        self._books.later(self._give_back())
        if full is None:
            raise StoreUnavailable(
                "What calls of the model cost cannot be counted while the store is away; try again in a while."
            ) from away
        budget, used = full
        if used.cost >= budget.limit:
            raise budget.refusal(self._books.clock())
        raise TooMany(
            "Calls that are under way may use up what is left of a budget; try again in a moment.",
            retry_after=RETRY_SECONDS,
        )

    async def _hold_each(
        self, amount: int, *, checked: bool
    ) -> tuple[tuple[Budget, Used] | None, Exception | None]:
        """Which budget is full, and why the store does not answer."""
        rows = self._books.store.usage
        tasks = [
            asyncio.create_task(
                rows.hold(share.budget.key, amount, most=share.budget.limit if checked else 0)
            )
            for share in self._each
        ]
        try:
            _, pending = await asyncio.wait(tasks, timeout=HOLD_SECONDS)
        except asyncio.CancelledError:
            self._books.later(self._undo(tasks, amount))
            raise
        if pending:
            self._books.later(self._undo(tasks, amount))
            return None, TimeoutError()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        full: tuple[Budget, Used] | None = None
        away: Exception | None = None
        for share, answer in zip(self._each, answers, strict=True):
            match answer:
                case Used():
                    share.held, share.known, share.counted = amount, answer.cost, True
                case HeldBack():
                    if full is None or answer.used.cost >= share.budget.limit:
                        full = share.budget, answer.used
                case StoreUnavailable():
                    away = answer
                case BaseException():
                    raise answer
        return full, away

    async def _undo(self, tasks: Sequence[asyncio.Task[Used]], amount: int) -> None:
        """Nobody waited for what is being held: give it back once it is known."""
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for share, answer in zip(self._each, answers, strict=True):
            if isinstance(answer, Used):
                await self._let_go(share.budget, amount)

    async def _give_back(self) -> None:
        """The call did not take place."""
        for share in self._each:
            held, share.held = share.held, 0
            counted, share.counted = share.counted, False
            if counted:
                await self._let_go(share.budget, held)

    async def _let_go(self, budget: Budget, held: int) -> None:
        try:
            await self._books.store.usage.add(budget.key, {"calls": -1}, cost=0, held=-held)
        except StoreUnavailable as error:
            log.warning("what a refused call held is let go of later: %s", error)

    def over(self, cost: int) -> Budget | None:
        """The budget that is used up once the call costs so much; one that costs nothing uses up none."""
        over = (share.budget for share in self._each if share.is_over(cost))
        return next(over, None) if cost else None

    async def tell(self, cost: int, held: int) -> None:
        """Tell the store what the call costs so far, and what it holds."""
        self._judge(
            self._each,
            await asyncio.gather(
                *(self._tell(share, cost, held, {}) for share in self._each), return_exceptions=True
            ),
        )

    async def settle(self, cost: int, counts: Mapping[str, int]) -> bool:
        """Tell the store what the call has cost in the end; whether it knows all of it now. May be called again."""
        left = [share for share in self._each if not share.settled]
        for share in self._judge(
            left,
            await asyncio.gather(
                *(
                    self._tell(share, cost, cost, counts if share.counted else {"calls": 1, **counts})
                    for share in left
                ),
                return_exceptions=True,
            ),
        ):
            share.settled = True
        return not self.unsettled

    @property
    def unsettled(self) -> list[str]:
        """The budgets in which the store does not have the call yet."""
        return [str(share.budget.scope) for share in self._each if not share.settled]

    def _judge(self, shares: Sequence[Share], answers: Sequence[BaseException | None]) -> list[Share]:
        """Those that were told; a store that is away is asked again later."""
        told = []
        for share, answer in zip(shares, answers, strict=True):
            if isinstance(answer, StoreUnavailable):
                log.warning("session %s: a call's cost is told later: %s", self._session.id, answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                told.append(share)
        return told

    async def _tell(self, share: Share, cost: int, held: int, counts: Mapping[str, int]) -> None:
        budget = share.budget
        more = {"cost": cost - share.cost, "held": held - share.held}
        used = await self._books.store.usage.add(budget.key, counts, **more, anew=not share.counted)
        share.known, share.cost, share.held = used.cost, cost, held
        soft = budget.limit * self._books.settings.budget_soft_percent // 100
        if soft and soft <= used.cost < budget.limit and not share.near:
            share.near = True
            self._books.tell_near(self._session, budget, used)
