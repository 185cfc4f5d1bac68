"""Frames of text that came together, judged and parsed as one: most of a run, and one by one most of its cost. Pure."""

from __future__ import annotations

import re
import secrets
from typing import Any, Final, NamedTuple

import orjson

from container.protocol import MAX_DEPTH
from container.redaction.redactor import Redactor
from gateway.runs.recording.transcript import TEXT_DELTA

LONGEST_LINE: Final = 2 * MAX_DEPTH
"""Bytes of a line: no shorter one nests too deeply, or is longer than a frame may be."""

FIELDS: Final = 4
"""Type, text, run and number: what a frame has beside them is looked at too, where it has more."""

LEAST_LINES: Final = 4
"""Fewer are as quickly taken one by one."""


class Texts(NamedTuple):
    """Frames that are nothing but the next pieces of a run's text; their `size` in bytes."""

    pieces: list[str]
    size: int

    def hold_secrets(self, redactor: Redactor) -> bool:
        """Whether one of the pieces may hold one. Between them is what no secret of one line has, and what stands
        before those of any shape: each piece is looked at as by itself."""
        return any(True for _ in redactor.find("\n".join(self.pieces)))


class TextFrames:
    """Knows a run's frames of text among the lines of its sandbox. `run`: its id."""

    def __init__(self, run: str) -> None:
        self._tails = re.compile(rb'"run":"%s","seq":(\d+)\}(?:\n|\Z)' % re.escape(run.encode()))
        # A number that a sandbox cannot know parts the lines: where each of them comes back between two values, each
        # line is one value, and none is made of halves of two.
        self._between = secrets.randbits(62)
        self._parting = b",%d," % self._between

    def read(self, message: bytes, first: int) -> Texts | None:
        """The frames in `message`, a line each, numbered from `first` on; None when one of them may be another kind of
        frame, or none at all: then each has to be looked at by itself."""
        lines = message.split(b"\n")
        count = len(lines)
        if count < LEAST_LINES or max(map(len, lines)) > LONGEST_LINE:
            return None
        if [*map(int, self._tails.findall(message))] != [*range(first, first + count)]:
            return None
        try:
            frames = self._parsed(lines)
            kinds = {frame["type"] for frame in frames}
            pieces = [frame["text"] for frame in frames]
        except (ValueError, KeyError, TypeError):  # no JSON, no object, no text
            return None
        if kinds != {TEXT_DELTA} or {*map(type, pieces)} != {str} or {*map(len, frames)} != {FIELDS}:
            return None
        return Texts(pieces, len(message) - count + 1)

    def _parsed(self, lines: list[bytes]) -> list[Any]:
        """The value of each line. Raises ValueError when one of them is none."""
        values = orjson.loads(b"[%s]" % self._parting.join(lines))
        if len(values) != 2 * len(lines) - 1 or values[1::2].count(self._between) != len(lines) - 1:
            raise ValueError("the lines are not a value each")
        return list(values[::2])
