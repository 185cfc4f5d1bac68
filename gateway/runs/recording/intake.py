"""What a recorder has read and not written yet: whole new frames, each once and in order. No I/O."""

from __future__ import annotations

import time
from typing import Any, Final

from container.protocol import MAX_DEPTH, MAX_FRAME_BYTES, MAX_RUN_BYTES, is_too_deep, seq_of
from container.redaction.redactor import Redactor
from gateway.errors import RunTooLarge, SandboxFaulty
from gateway.runs.recording.judge import SANDBOX_LOST, Fault, fault, judge_place
from gateway.runs.recording.redacted import struck
from gateway.runs.recording.texts import TextFrames
from gateway.runs.recording.transcript import Transcript, parse_frame

FLUSH_SECONDS = 0.25
FLUSH_BYTES = 64 * 1024

RUN_BYTES = MAX_RUN_BYTES + 4 * MAX_FRAME_BYTES
"""An agent server ends a run that would pass `MAX_RUN_BYTES`; its last words come on top."""

NOISE_LINES: Final = 200
NOISE_BYTES: Final = 1024 * 1024
"""What is no frame of the run (`status`, `ping`, `timing`) may come to this at once; both are filled up within
`NOISE_SECONDS`. An agent server says a handful of such lines when somebody attaches, and then few a minute."""

NOISE_SECONDS: Final = 10.0


class Intake:
    """Feeds new frames to the transcript and holds them in `frames` (blocks of lines) until they are written."""

    def __init__(self, transcript: Transcript, run: str) -> None:
        self.frames: list[bytes] = []
        self.redactor: Redactor | None = None
        """What strikes secrets; None: nobody does."""
        self._run = run
        self._transcript = transcript
        self._texts = TextFrames(run)
        self._end = b'"run":"%s","seq":%%d}' % run.encode()
        self._run_bytes = 0
        self._size = 0
        self._since = 0.0
        self._noise = 0.0
        self._noise_at = 0.0

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
        """Buffer the frames of a message, up to the run's last one; whether there were any. `own`: written here, not
        by a sandbox.

        Raises `SandboxFaulty` at the first that breaks the protocol, and `RunTooLarge` at the first that is past its
        limits: a sandbox keeps to them, unless somebody else answers in its place.
        """
        if not own and self._take_texts(message):
            return True
        redactor = self.redactor
        if redactor is not None and not redactor.may_hold(message):
            redactor = None  # of most messages not a single frame is looked at
        lines: list[bytes] = []
        try:
            for line in message.split(b"\n"):
                seq = self._transcript.last + 1
                expected = line.endswith(self._end % seq)
                if not expected:
                    found = seq_of(line)
                    if found is None:
                        self._bear_noise(len(line))
                        continue
                    seq = found
                frame = parse_frame(line) if own else self._judged(line, seq, expected=expected)
                if redactor is not None:
                    line, frame = struck(redactor, line, frame, self._run)  # noqa: PLW2901
                self._transcript.take(frame, len(line))
                self._run_bytes += len(line) + 1
                lines.append(line)
                if self._transcript.state is not None:
                    break  # nothing follows a run's last frame
        finally:
            if lines:
                self._hold(b"\n".join(lines) + b"\n")
        return bool(lines)

    def _take_texts(self, message: bytes) -> bool:
        """Buffer the frames of a message that is text without secrets and nothing else; whether it is."""
        before = self._transcript.kind
        if before in ("", SANDBOX_LOST) or self._run_bytes + len(message) + 1 > RUN_BYTES:
            return False
        texts = self._texts.read(message, self._transcript.last + 1)
        if (
            texts is None
            or (self.redactor is not None and texts.hold_secrets(self.redactor))
            or not self._transcript.take_texts(texts.pieces, texts.size)
        ):
            return False
        self._run_bytes += len(message) + 1
        self._hold(message + b"\n")
        return True

    def _judged(self, line: bytes, seq: int, *, expected: bool) -> dict[str, Any]:
        """The frame in `line`, which is believed. `expected`: its end is that of this run's next frame."""
        last = self._transcript.last
        if not expected:
            raise self._misnumbered(line, seq)
        if len(line) > MAX_FRAME_BYTES:
            raise RunTooLarge(f"Frame {seq} has {len(line)} bytes; a frame may have {MAX_FRAME_BYTES}.")
        if self._run_bytes + len(line) + 1 > RUN_BYTES:
            raise RunTooLarge(f"The run's frames have reached their limit of {MAX_RUN_BYTES} bytes.")
        try:
            frame = parse_frame(line)
        except ValueError as error:
            raise fault(Fault.NO_FRAME, f"what came after frame {last} is none") from error
        if is_too_deep(line, frame):
            raise fault(Fault.TOO_DEEP, f"frame {seq} has more than {MAX_DEPTH} levels")
        judge_place(frame.get("type"), seq, self._transcript.kind)
        return frame

    def _misnumbered(self, line: bytes, seq: int) -> SandboxFaulty:
        """What is wrong with a frame that is not the run's next one."""
        last = self._transcript.last
        if not line.endswith(self._end % seq):
            return fault(
                Fault.FOREIGN, f"what came after frame {last} does not name this run and its number last"
            )
        return fault(Fault.REPEATED if seq <= last else Fault.GAP, f"frame {seq} came after {last}")

    def _bear_noise(self, size: int) -> None:
        """Count a line that is no frame of the run."""
        now = time.monotonic()
        self._noise = max(0.0, self._noise - (now - self._noise_at) / NOISE_SECONDS)
        self._noise_at = now
        self._noise += max(1 / NOISE_LINES, size / NOISE_BYTES)
        if self._noise > 1:
            raise fault(
                Fault.NOISE,
                f"{NOISE_LINES} lines, or {NOISE_BYTES} bytes, within {NOISE_SECONDS:g} s are borne",
            )

    def _hold(self, block: bytes) -> None:
        if not self.frames:
            self._since = time.monotonic()
        self.frames.append(block)
        self._size += len(block)
