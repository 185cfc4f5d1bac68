"""The meter: what each call of the model's API costs, counted in the store as it goes on, and cut at a budget.

A call begins by holding what it may cost before the API says so (its body as tokens that are not cached, an answer
that comes all at once at its longest, and a slice), in each budget that it counts towards, by one conditional write for
each. When the API tells its usage, and whenever the estimate of an answer has grown by a slice, the real cost takes the
place of what was held. So calls side by side, in any gateways, see each other. Bytes never wait for any of this, only
the call's beginning does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from gateway.broker.metering.budget import budgets_of, refuses_unknown
from gateway.broker.metering.metered_call import MeteredCall
from gateway.broker.metering.prices import Prices, price, read_prices
from gateway.errors import BudgetExceeded, ModelUnpriced, VaporForgeError
from gateway.store import keys

if TYPE_CHECKING:
    from gateway.broker.metering.budget import Budget
    from gateway.config import Settings
    from gateway.model import Session
    from gateway.store import Store
    from gateway.store.usage import Used

log = logging.getLogger(__name__)

Tell = Callable[[str, str, dict[str, Any]], Awaitable[None]]
"""Put a frame into a run of a session: `(session, run, frame)`. Raises `VaporForgeError` where that cannot be done."""

CLOSE_SECONDS: Final = 1.5
"""What is still to be told is waited for so long at the end."""

MOST_UNSETTLED: Final = 10_000
"""Ended calls whose cost the store does not have yet: with more, calls count as ones that cannot be counted."""

FREE: Final = price(0, 0)


class Meter:
    """Counts the calls of one gateway's broker."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        tell: Tell | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.store = store
        self.prices = Prices(read_prices(settings.model_prices))
        self.clock = clock
        self._tell = tell
        self._tasks: set[asyncio.Task[None]] = set()
        self._telling = WeakValueDictionary[str, asyncio.Lock]()
        """By session: frames reach its run in the order in which they were said."""

    async def begin(
        self, session: Session, models: Sequence[str], size: int, *, whole: int = 0
    ) -> MeteredCall:
        """Before a call of `size` bytes goes out that asks the first of `models`, or else one of the others; `whole`:
        tokens that its answer may have if it is to come all at once. Raises `BudgetExceeded`, `ModelUnpriced`,
        `TooMany` (others hold what is left), and, where there are budgets, `StoreUnavailable`."""
        models = models or [""]
        found = self.prices.of(models[0])
        unknown = [model for model in models if self.prices.of(model) is None]
        if unknown and refuses_unknown(self.settings):
            model = unknown[0]
            error = ModelUnpriced(
                f"The model {model[:128]!r} has no price here, so what it costs cannot be counted: choose another one, "
                "or have its price added to modelPrices, or unknownModels set to free.",
                field="model",
            )
            self.say(session, error)
            raise error
        budgets = budgets_of(self.settings, session, self.clock())
        call = MeteredCall(self, session, budgets, found or FREE, size, whole)
        try:
            await call.hold(checked=found is not None)
        except BudgetExceeded as error:
            self.say(session, error)
            raise
        return call

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside what goes on."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def is_behind(self) -> bool:
        """Whether too much is still to be told to the store."""
        return len(self._tasks) >= MOST_UNSETTLED

    async def close(self) -> None:
        """Wait for what is still to be told; the store is closed after this."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
        for task in self._tasks:
            task.cancel()

    def say(self, session: Session, error: VaporForgeError) -> None:
        """Show a run why its calls are refused, once."""
        frame = {"type": "error", **error.body()}
        self.later(self.tell_once(session, f"told_{error.code.replace('-', '_')}", frame))

    def tell_near(self, session: Session, budget: Budget, used: Used) -> None:
        """Tell the session's run, once, that most of a budget is used up; not when it was told already that one is."""
        mark = f"told_{budget.scope.replace('-', '_')}"
        self.later(self.tell_once(session, mark, budget.told(used), unless="told_budget_exceeded"))

    async def tell_once(self, session: Session, mark: str, frame: dict[str, Any], unless: str = "") -> None:
        """Put a frame into the session's run, unless one was with this mark, or with that of `unless`."""
        run = session.active_run
        if run is None or self._tell is None:
            return
        async with self._telling.setdefault(session.id, asyncio.Lock()):
            try:
                if await self.store.usage.first(keys.usage_of_session(session.id, run), mark, unless):
                    await self._tell(session.id, run, frame)
            except VaporForgeError as error:
                log.warning("session %s run %s: not told of its budget: %s", session.id, run, error)
