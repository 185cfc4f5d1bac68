"""From an agent's output bytes to lines, and from lines to frames: pure functions and one pure state machine."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from container.agent.cut import cut_object
from container.protocol import (
    MAX_BODY_BYTES,
    MAX_LINE_BYTES,
    SERVER_ONLY,
    FrameType,
    encode,
    read_frame,
)

MAX_STDERR_LINE: Final = 8 * 1024
"""Longest stderr line that is kept, in bytes."""


TEXT_DELTA: Final = FrameType.TEXT_DELTA.value

_PLAIN_TEXT: Final = re.compile(rb'\{"type": ?"text-delta", ?"text": ?"([^"\\\x00-\x1f]*)"\}').fullmatch
"""Most of what an agent says, whose text needs no parser: without escapes, and with nothing but its text."""

_HEAD: Final = re.compile(rb'\{"type": ?"text-delta", ?"text": ?"').match
_TAIL: Final = b'"}'
_NEVER_PLAIN: Final = bytes((*range(0x20), *b'"\\'))
"""What stands around such a text, and never within it."""


class Line(NamedTuple):
    """One line without its newline: at most the framer's limit of its bytes, and how many it had."""

    data: bytes
    length: int

    @property
    def is_whole(self) -> bool:
        """Whether `data` is all of it."""
        return len(self.data) == self.length


class Texts(NamedTuple):
    """Lines that are plain pieces of the agent's text, one or more, and frames as they are; `text`: joined."""

    bodies: list[bytes]
    text: str

    @property
    def lines(self) -> list[Line]:
        """Each by itself."""
        return [Line(body, len(body)) for body in self.bodies]


def plain_texts(block: bytes) -> Texts | None:
    """The lines in `block`, which newlines part, taken at once: None when one of them may be anything else than plain
    text, or is written otherwise than the first."""
    head = _HEAD(block)
    if head is None or len(block) > MAX_BODY_BYTES or not block.endswith(_TAIL):
        return None
    # Where nothing is left that no text has, what was taken out stood between two lines.
    said = block[head.end() : -len(_TAIL)].replace(_TAIL + b"\n" + head[0], b"")
    if len(said.translate(None, _NEVER_PLAIN)) != len(said):
        return None
    try:
        block.decode()  # a character over two lines is none
        return Texts(block.split(b"\n"), said.decode())
    except UnicodeDecodeError:
        return None


class LineFramer:
    """Cuts a byte stream into lines. A line longer than `limit` bytes keeps its first `limit`; the rest is counted."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._start = bytearray()
        self._length = 0

    def feed(self, chunk: bytes) -> list[Line]:
        """Take the next bytes; the lines that they complete."""
        if b"\n" not in chunk:
            self._keep(chunk)
            return []
        parts, limit = chunk.split(b"\n"), self._limit
        rest = parts.pop()
        lines: list[Line] = []
        if self._length:
            self._keep(parts.pop(0))
            lines.append(self._take())
        lines += [Line(part[:limit], len(part)) for part in parts]
        if rest:
            self._keep(rest)
        return lines

    def feed_texts(self, chunk: bytes) -> Texts | None:
        """Take the next bytes if all lines that they complete are plain texts, at least one; else None, and they are
        for `feed` to take."""
        end = chunk.rfind(b"\n")
        if end < 0 or self._length + len(chunk) > min(self._limit, MAX_BODY_BYTES):
            return None
        texts = plain_texts(bytes(self._start) + chunk[:end])
        if texts is not None:
            self._start = bytearray(chunk[end + 1 :])
            self._length = len(self._start)
        return texts

    def finish(self) -> list[Line]:
        """The stream has ended: the last line, when it had no newline."""
        return [self._take()] if self._length else []

    def _keep(self, part: bytes) -> None:
        room = self._limit - len(self._start)
        if room > 0:
            self._start += part if len(part) <= room else part[:room]
        self._length += len(part)

    def _take(self) -> Line:
        line = Line(bytes(self._start), self._length)
        self._start = bytearray()
        self._length = 0
        return line


class AgentFrame(NamedTuple):
    """What an agent's line means: its type, the frame's bytes (at most MAX_BODY_BYTES, not stamped yet), its fields as
    they were before it was cut, and how many bytes the line had."""

    type: str
    body: bytes
    fields: dict[str, Any]
    length: int


def agent_frame(line: Line) -> AgentFrame | None:
    """The frame that a line of an agent's stdout is; None for a blank line.

    A line that is no JSON object with a `type`, or that has a type which only servers may write, becomes a `stderr`
    frame with its text. `ready` comes back as a frame too: the caller keeps it out of the stream.
    """
    data = line.data
    if len(data) <= MAX_BODY_BYTES and (plain := _PLAIN_TEXT(data)) is not None:
        try:
            return AgentFrame(TEXT_DELTA, data, {"type": TEXT_DELTA, "text": plain[1].decode()}, len(data))
        except UnicodeDecodeError:
            return stderr_frame(line)
    data = data.strip(b" \t\r")
    if not data:
        return None
    if not line.is_whole:
        return stderr_frame(line)
    try:
        frame, body = read_frame(data)
    except ValueError:
        return stderr_frame(line)
    kind = frame.get("type")
    if not isinstance(kind, str) or not kind or kind in SERVER_ONLY:
        return stderr_frame(line)
    cut = body if len(body) <= MAX_BODY_BYTES else cut_object(frame, len(data))
    return AgentFrame(kind, cut, frame, len(data))


def stderr_frame(line: Line) -> AgentFrame:
    """A `stderr` frame with the line's text; bytes that are not UTF-8 show as U+FFFD."""
    frame: dict[str, object] = {"type": FrameType.STDERR, "text": line.data.decode("utf-8", "replace")}
    if not line.is_whole:
        frame |= {"truncated": True, "fullBytes": line.length}
    body = encode(frame)
    cut = body if len(body) <= MAX_BODY_BYTES else cut_object(frame, line.length)
    return AgentFrame(FrameType.STDERR, cut, frame, line.length)


class StderrGate:
    """Lets `burst` bytes of stderr pass at once and `rate` bytes a second after that; counts what it holds back."""

    def __init__(self, *, burst: float = 256 * 1024, rate: float = 64 * 1024) -> None:
        self._burst, self._rate = burst, rate
        self._credit = burst
        self._at = 0.0
        self._held = 0

    def frames(self, lines: list[Line], now: float) -> list[AgentFrame]:
        """The frames for `lines` that arrived at `now` (seconds of any steady clock)."""
        self._credit = min(self._burst, self._credit + (now - self._at) * self._rate)
        self._at = now
        frames: list[AgentFrame] = []
        for line in lines:
            if not line.data.strip():
                continue
            if self._credit < len(line.data):
                self._held += 1
                continue
            self._credit -= len(line.data)
            frames += self.rest()
            frames.append(stderr_frame(line))
        return frames

    def rest(self) -> list[AgentFrame]:
        """A frame that says how many lines were held back since the last one, when any were."""
        held, self._held = self._held, 0
        text = f"[{held} lines left out]".encode()
        return [stderr_frame(Line(text, len(text)))] if held else []
