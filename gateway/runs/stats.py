"""Counters of this gateway process; every prompt is counted once, together with what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.model import Admission


@dataclass(slots=True)
class Stats:
    """Each prompt is counted when it comes (`came`), while it is being admitted, and by what became of it; these
    must agree. `duplicates`: how many of `run` and `queued` were a `messageId` sent again, which counts as what its run
    is. `turned_away`: connections and requests that were refused before they were asked for anything, by why."""

    came: int = 0
    admitting: int = 0
    run: int = 0
    queued: int = 0
    refused: int = 0
    duplicates: int = 0
    takeovers: int = 0
    lost: int = 0
    """Runs that this gateway ended as `lost`."""
    turned_away: Counter[str] = field(default_factory=Counter)
    egress: Counter[str] = field(default_factory=Counter)
    """Connections of sandboxes to hosts outside: `opened`, `blocked` by the policy, and `turnedAway` for a limit."""

    @contextmanager
    def admission(self) -> Iterator[None]:
        """Count a prompt; what the block raises counts as its refusal."""
        self.came += 1
        self.admitting += 1
        try:
            yield
        except BaseException:
            self.refused += 1
            raise
        finally:
            self.admitting -= 1

    def admitted(self, admission: Admission) -> None:
        """Count what became of a prompt."""
        self.duplicates += admission.duplicate
        if admission.position:
            self.queued += 1
        else:
            self.run += 1

    def prompts(self) -> dict[str, int]:
        """Counts since this process started: `received == run + queued + refused`, at every moment."""
        return {
            "received": self.came - self.admitting,
            "run": self.run,
            "queued": self.queued,
            "refused": self.refused,
            "duplicates": self.duplicates,
            "admitting": self.admitting,
        }
