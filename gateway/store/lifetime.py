"""How long items live: the clock and the TTL of a store."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Lifetime:
    """`days` is how long messages and runs are kept. `clock` gives epoch seconds."""

    days: float
    clock: Callable[[], float]

    def now(self) -> float:
        return self.clock()

    def until(self, since: float | None = None) -> int:
        """When what was made at `since` (now by default) expires, in whole epoch seconds as DynamoDB's TTL wants it."""
        return math.ceil((self.clock() if since is None else since) + self.days * DAY)

    def until_after_all(self) -> int:
        """A day more, for what a run or a message is made of: it must never expire before what names it."""
        return math.ceil(self.until() + DAY)
