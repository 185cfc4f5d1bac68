"""What a recorder has read and not written yet: whole new frames, each once and in order. No I/O."""

from __future__ import annotations

import time

from container.protocol import MAX_FRAME_BYTES, MAX_RUN_BYTES, seq_of
from gateway.errors import RunTooLarge
from gateway.runs.recording.transcript import Transcript

FLUSH_SECONDS = 0.25
FLUSH_BYTES = 64 * 1024

RUN_BYTES = MAX_RUN_BYTES + 4 * MAX_FRAME_BYTES
"""An agent server ends a run that would pass `MAX_RUN_BYTES`; its last words come on top."""


class Gap(Exception):
    """A frame is missing in what the agent server sent: attach again behind the last good one."""


class Intake:
    """Feeds new frames to the transcript and holds them in `frames` (blocks of lines) until they are written."""

    def __init__(self, transcript: Transcript) -> None:
        self.frames: list[bytes] = []
        self._transcript = transcript
        self._run_bytes = 0
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

    def know(self, chunk: bytes) -> None:
        """Feed frames that an earlier recorder wrote, as whole lines: they count, and are not written again."""
        self._transcript.feed(chunk)
        self._run_bytes += len(chunk)

    def take(self, message: bytes, *, own: bool = False) -> bool:
        """Buffer the frames of a message that are new; whether there were any. `own`: written here, not by a sandbox.

        Raises `Gap` when one is missing, and `RunTooLarge` at the first that is past the protocol's limits: a sandbox
        keeps to them, unless somebody else answers in its place.
        """
        lines: list[bytes] = []
        try:
            for line in message.split(b"\n"):
                seq = seq_of(line)
                if seq is None or seq <= self._transcript.last:
                    continue
                if seq > self._transcript.last + 1:
                    raise Gap(f"frame {seq} came after {self._transcript.last}; reads again")
                if not own:
                    self._judge_size(line, seq)
                self._transcript.feed(line)
                self._run_bytes += len(line) + 1
                lines.append(line)
        except (ValueError, RecursionError) as error:
            raise Gap(f"what came after frame {self._transcript.last} is none; reads again") from error
        finally:
            self._hold(lines)
        return bool(lines)

    def _judge_size(self, line: bytes, seq: int) -> None:
        if len(line) > MAX_FRAME_BYTES:
            raise RunTooLarge(f"Frame {seq} has {len(line)} bytes; a frame may have {MAX_FRAME_BYTES}.")
        if self._run_bytes + len(line) + 1 > RUN_BYTES:
            raise RunTooLarge(f"The run's frames have reached their limit of {MAX_RUN_BYTES} bytes.")

    def _hold(self, lines: list[bytes]) -> None:
        if not lines:
            return
        if not self.frames:
            self._since = time.monotonic()
        block = b"\n".join(lines) + b"\n"
        self.frames.append(block)
        self._size += len(block)
