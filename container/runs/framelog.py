"""A run's frame log: numbers frames, keeps them in an append-only file, and reads them back after any cursor.

No I/O loop, clock or task is in it: calls are plain, short, and made from one thread.
"""

from __future__ import annotations

import os
import stat
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import Final

from container.protocol import (
    MAX_BATCH_BYTES,
    MAX_RUN_BYTES,
    FrameType,
    decode,
    encode,
    loss_frames,
    stamp_all,
)

TAIL_BYTES: Final = 256 * 1024
"""This much of the newest frames stays in memory, so that live readers cost no disk read."""

MAX_UNWRITTEN_BYTES: Final = 32 * 1024 * 1024
"""This much is kept in memory while the disk takes nothing; past it the log is full."""


class NoRoomError(Exception):
    """Nothing of an append was taken. `code` and the text: for the run's `error` frame."""

    code = "no-room"


class LogFullError(NoRoomError):
    """The disk takes nothing and the memory bound is reached."""

    code = "disk-full"


class RunTooLargeError(NoRoomError):
    """The run would have more bytes than it may have."""

    code = "run-too-large"


class FrameLog:
    """Frames of one run, one stamped JSON object a line; the file at `path` is made, or taken up where it ended.

    A torn or foreign end of the file (a crash in mid-write) is cut off on opening, which raises OSError when `path` is
    no regular file. While the disk refuses writes,
    frames stay in memory and are read from there; `flush` and every `append` try again.
    """

    def __init__(
        self,
        path: Path,
        run: str,
        *,
        max_unwritten: int = MAX_UNWRITTEN_BYTES,
        max_bytes: int = MAX_RUN_BYTES,
    ) -> None:
        self.path = path
        self.run = run
        self._max_unwritten = max_unwritten
        self._max_bytes = max_bytes
        self._fd: int | None = None
        self._ends = array("Q")  # byte offset behind each frame's newline; frame n is _ends[n - 1]
        self._tail = bytearray()  # the log's bytes from _tail_start on
        self._tail_start = 0
        self._written = 0
        if path.exists():
            self._recover()

    @property
    def last(self) -> int:
        """The newest frame's seq; 0 when there is none."""
        return len(self._ends)

    @property
    def unwritten(self) -> int:
        """Bytes that are in memory only, because the disk took no more."""
        return self._tail_start + len(self._tail) - self._written

    def append(self, lines: Iterable[bytes], *, last_words: bool = False) -> int:
        """Number `lines` (JSON objects' bytes) and write them at once; the last one's seq.

        Raises RunTooLargeError past the run's bound, and LogFullError when the disk takes nothing and memory is full
        too; `last_words` are taken even then.
        """
        frames = stamp_all(list(lines), self.run, len(self._ends) + 1)
        if not frames:
            return len(self._ends)
        start = self._tail_start + len(self._tail)
        ends = [*accumulate([len(frame) + 1 for frame in frames], initial=start)]
        end = ends[-1]
        if end > self._max_bytes and not last_words:
            raise RunTooLargeError(f"The run's frames have reached their limit of {self._max_bytes:,} bytes")
        if (
            end - self._written > self._max_unwritten
            and not last_words
            and self.unwritten
            and not self.flush()
        ):
            raise LogFullError("The sandbox's disk is full")
        self._tail += b"\n".join([*frames, b""])
        self._ends.extend(ends[1:])
        self.flush()
        return len(self._ends)

    def flush(self) -> bool:
        """Write what is not written yet; False when the disk refuses (try again later)."""
        try:
            if self._fd is None:
                self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with memoryview(self._tail) as tail:
                while self._written < self._tail_start + len(tail):
                    self._written += os.pwrite(
                        self._fd, tail[self._written - self._tail_start :], self._written
                    )
        except OSError:
            return False
        if len(self._tail) > 2 * TAIL_BYTES:
            self._forget(len(self._tail) - TAIL_BYTES)
        return True

    def read(self, after: int, max_bytes: int = MAX_BATCH_BYTES) -> tuple[bytes, int]:
        """The frames behind cursor `after`, as many as fit in `max_bytes` and at least one: their lines, joined by
        newlines with none at the end, and the seq of the last; `(b"", after)` when there is none."""
        if after >= len(self._ends):
            return b"", after
        start = self._ends[after - 1] if after else 0
        last = max(after + 1, bisect_right(self._ends, start + max_bytes + 1, lo=after))
        return self._slice(start, self._ends[last - 1] - 1), last

    def close(self) -> None:
        """Give back the file and the memory that it allows; reading opens it again. May be called twice."""
        if self._fd is not None and self.flush():
            self._forget(len(self._tail))
            os.close(self._fd)
            self._fd = None

    def rename(self, path: Path) -> None:
        """Keep the log under another name from now on."""
        self.path.rename(path)
        self.path = path

    def delete(self) -> None:
        """Close the log and delete its file; one that is gone already is fine."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _slice(self, start: int, end: int) -> bytes:
        in_memory = self._tail_start
        if start >= in_memory:
            return bytes(self._tail[start - in_memory : end - in_memory])
        from_disk = self._pread(start, min(end, in_memory))
        return from_disk + self._tail[: max(0, end - in_memory)]

    def _pread(self, start: int, end: int) -> bytes:
        if self._fd is None:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        parts: list[bytes] = []
        while start < end:
            part = os.pread(self._fd, end - start, start)
            if not part:
                raise OSError(f"{self.path.name} ends at {start}, before {end}")
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def _forget(self, size: int) -> None:
        size = min(size, self._written - self._tail_start)
        del self._tail[:size]
        self._tail_start += size

    def _recover(self) -> None:
        self._fd = os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            os.close(self._fd)
            raise OSError(f"{self.path.name} is no regular file")
        offset = 0
        with self.path.open("rb") as file:
            for seq, line in enumerate(file, 1):
                if not line.endswith(b'"run":"%s","seq":%d}\n' % (self.run.encode(), seq)):
                    break
                offset += len(line)
                self._ends.append(offset)
        os.ftruncate(self._fd, offset)
        self._tail_start = self._written = offset


def end_reason(log: FrameLog) -> str | None:
    """The `reason` of the log's `process-exit`; None while that is not its last frame."""
    line, _ = log.read(max(0, log.last - 1))
    frame = decode(line) if line else {}
    return str(frame.get("reason")) if frame.get("type") == FrameType.PROCESS_EXIT else None


def exit_frame(exit_code: int | None, reason: str) -> bytes:
    """The last frame of a run."""
    return encode({"type": FrameType.PROCESS_EXIT, "exitCode": exit_code, "reason": reason})


def seal(log: FrameLog, reason: str) -> bool:
    """End the log of a run whose agent server died, with `sandbox-lost{reason}` and `process-exit`; False when it has
    its end already."""
    if end_reason(log) is not None:
        return False
    frames = [*map(encode, loss_frames(reason)), exit_frame(None, "lost")]
    if log.last == 0:
        frames.insert(0, encode({"type": FrameType.RUN}))
    log.append(frames, last_words=True)
    return True
