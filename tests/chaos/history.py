"""What one reader saw of one run, frame by frame, and what was wrong with it."""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Opening:
    """A connection that a reader got: when (monotonic seconds), at which gateway, how many frames it had by then."""

    at: float
    url: str
    frames: int


@dataclass
class History:
    """Every frame as it came, over all connections of a reader; the only right one is the next."""

    name: str
    frames: list[bytes] = field(default_factory=list)
    arrivals: array[float] = field(default_factory=lambda: array("d"))
    """When each frame came, in monotonic seconds."""
    openings: list[Opening] = field(default_factory=list)
    duplicated: int = 0
    gaps: int = 0
    refused: list[str] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether the last frame of the run was seen."""
        return bool(self.frames) and b'"type":"process-exit"' in self.frames[-1]

    def take(self, line: bytes, seq: int) -> None:
        """Note a frame."""
        expected = len(self.frames) + 1
        if seq < expected:
            self.duplicated += 1
        elif seq > expected:
            self.gaps += 1
        else:
            self.frames.append(line)
            self.arrivals.append(time.monotonic())
