"""Counters of this gateway process; every prompt is counted once, together with what became of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Stats:
    """`received == run + queued + refused` holds at every moment: an outcome counts both sides at once."""

    run: int = 0
    queued: int = 0
    refused: int = 0
    duplicates: int = 0
    takeovers: int = 0

    def prompts(self) -> dict[str, int]:
        """Counts since this process started; a repeated messageId is no new prompt and counts as `duplicates` only."""
        return {
            "received": self.run + self.queued + self.refused,
            "run": self.run,
            "queued": self.queued,
            "refused": self.refused,
            "duplicates": self.duplicates,
        }
