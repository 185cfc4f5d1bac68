"""What a recorder has read and not written yet: whole new frames, each once and in order. No I/O."""

from __future__ import annotations

import time

from container.protocol import seq_of
from gateway.transcript import Transcript

FLUSH_SECONDS = 0.25
FLUSH_BYTES = 64 * 1024


class Gap(Exception):
    """A frame is missing in what the agent server sent: attach again behind the last good one."""


class Intake:
    """Feeds new frames to the transcript and holds them in `frames` (blocks of lines) until they are written."""

    def __init__(self, transcript: Transcript) -> None:
        self.frames: list[bytes] = []
        self._transcript = transcript
        self._size = 0
        self._since = 0.0

    @property
    def is_due(self) -> bool:
        """Whether what is held must be written now."""
        return self._size >= FLUSH_BYTES or self._since + FLUSH_SECONDS <= time.monotonic()

    def seconds_left(self) -> float | None:
        """How long the next message may be waited for; None while nothing is held."""
        return max(0.001, self._since + FLUSH_SECONDS - time.monotonic()) if self.frames else None

    def clear(self) -> None:
        """All of it was written."""
        self.frames, self._size = [], 0

    def take(self, message: bytes) -> bool:
        """Buffer the frames of a message that are new; whether there were any. Raises `Gap` when one is missing."""
        lines: list[bytes] = []
        try:
            for line in message.split(b"\n"):
                seq = seq_of(line)
                if seq is None or seq <= self._transcript.last:
                    continue
                if seq > self._transcript.last + 1:
                    raise Gap(f"frame {seq} came after {self._transcript.last}; reads again")
                self._transcript.feed(line)
                lines.append(line)
        except ValueError as error:
            raise Gap(f"what came after frame {self._transcript.last} is none; reads again") from error
        finally:
            self._hold(lines)
        return bool(lines)

    def _hold(self, lines: list[bytes]) -> None:
        if not lines:
            return
        if not self.frames:
            self._since = time.monotonic()
        block = b"\n".join(lines) + b"\n"
        self.frames.append(block)
        self._size += len(block)
