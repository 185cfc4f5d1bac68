"""Budgets of money: what each covers, the words that refuse, and the frames that tell a run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from container.protocol import FrameType
from gateway.broker.metering.prices import USD
from gateway.errors import BudgetExceeded
from gateway.store import keys
from gateway.store.quotas import DAY, duration
from gateway.store.usage import day_of

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.model import Session
    from gateway.store.keys import Key
    from gateway.store.usage import Used

SLICE: Final = USD // 100
"""A call that is under way tells the store what it costs whenever it has cost so much more (a tenth of a budget that is
smaller than ten of them); so much it holds ahead, too."""


class Scope(StrEnum):
    """What a budget covers."""

    RUN = "run"
    SESSION = "session"
    USER = "user-day"
    STACK = "stack-day"


_NAMES: Final[Mapping[Scope, str]] = {
    Scope.RUN: "This run's budget",
    Scope.SESSION: "This session's budget",
    Scope.USER: "Your budget for a day",
    Scope.STACK: "Everybody's budget for a day",
}

_REMEDIES: Final[Mapping[Scope, str]] = {
    Scope.RUN: "send another prompt to go on",
    Scope.SESSION: "start another session to go on, or ask who runs this deployment for more",
    Scope.USER: "it begins anew in {left} (00:00 UTC); ask who runs this deployment for more before then",
    Scope.STACK: "it begins anew in {left} (00:00 UTC); ask who runs this deployment for more before then",
}


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent on one thing: `limit` in nano-dollars (0: no end; it is counted all the same), and the item in
    which it is counted."""

    scope: Scope
    key: Key
    limit: int

    def refusal(self, now: float) -> BudgetExceeded:
        """What who is over it is told, at `now` (epoch seconds)."""
        remedy = _REMEDIES[self.scope].format(left=duration(DAY - now % DAY))
        return BudgetExceeded(f"{_NAMES[self.scope]} of {dollars(self.limit)} is used up: {remedy}.")

    def told(self, used: Used) -> dict[str, Any]:
        """The frame that tells a run once how near it is."""
        sentence = f"{_NAMES[self.scope]} of {dollars(self.limit)} is used up to {dollars(used.cost)}."
        return {
            "type": FrameType.BUDGET,
            "scope": self.scope,
            "text": sentence,
            "spentUsd": used.cost / USD,
            "limitUsd": self.limit / USD,
        }


def budgets_of(settings: Settings, session: Session, now: float) -> tuple[Budget, ...]:
    """All that a call of the session counts towards now."""
    day = day_of(now)
    run = session.active_run
    ours = [
        Budget(Scope.SESSION, keys.usage_of_session(session.id), _nano(settings.budget_session_usd)),
        Budget(Scope.USER, keys.usage_of_user(session.owner, day), _nano(settings.budget_user_day_usd)),
        Budget(Scope.STACK, keys.usage_of_stack(day), _nano(settings.budget_stack_day_usd)),
    ]
    if run is not None:
        ours.insert(
            0, Budget(Scope.RUN, keys.usage_of_session(session.id, run), _nano(settings.budget_run_usd))
        )
    return tuple(ours)


def slice_of(budgets: tuple[Budget, ...]) -> int:
    """Of what cost a call tells at a time, and holds ahead."""
    limits = [budget.limit // 10 for budget in budgets if budget.limit]
    return max(1, min([SLICE, *limits]))


def has_budget(settings: Settings) -> bool:
    """Whether anything has an end."""
    return any(
        (
            settings.budget_run_usd,
            settings.budget_session_usd,
            settings.budget_user_day_usd,
            settings.budget_stack_day_usd,
        )
    )


def refuses_unknown(settings: Settings) -> bool:
    """Whether a model that has no price may not be called. `auto`: where there are budgets, and the API is the one that
    the table of prices is about; elsewhere models have names that it cannot know."""
    if settings.unknown_models != "auto":
        return settings.unknown_models == "refuse"
    host = urlsplit(settings.model_api_url).hostname or ""
    return has_budget(settings) and (host == "anthropic.com" or host.endswith(".anthropic.com"))


def dollars(nano: int) -> str:
    """Such as `$0.10`; four digits below a cent."""
    return f"${nano / USD:,.2f}" if nano == 0 or nano >= USD // 100 else f"${nano / USD:.4f}"


def _nano(usd: float) -> int:
    return round(usd * USD)
