"""Counters of this gateway process; every prompt is counted once, together with what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.model import Admission


@dataclass(slots=True)
class Stats:
    """`received == run + queued + refused` once each prompt that came has its answer: one that is being admitted is
    only `received` yet. `duplicates`: how many of `run` and `queued` were a `messageId` sent again, which counts as
    what its run is."""

    received: int = 0
    run: int = 0
    queued: int = 0
    refused: int = 0
    duplicates: int = 0
    takeovers: int = 0

    def admitted(self, admission: Admission) -> None:
        """Count what became of a prompt."""
        self.duplicates += admission.duplicate
        if admission.position:
            self.queued += 1
        else:
            self.run += 1

    def prompts(self) -> dict[str, int]:
        """Counts since this process started."""
        return {
            "received": self.received,
            "run": self.run,
            "queued": self.queued,
            "refused": self.refused,
            "duplicates": self.duplicates,
        }
