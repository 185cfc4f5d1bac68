"""A text that comes in chunks, with its secrets struck across their borders. Pure: no clock."""

from __future__ import annotations

import re
from typing import Final

from container.redaction import shapes
from container.redaction.redactor import BARE, SHORT, Redactor, mark

LEAST_CUT: Final = 8
"""The beginning of a secret where a text was cut is struck from so many characters on."""

CUT: Final = "secret"
"""What it is struck as: which secret it would have been is not known."""

MOST_REST: Final = 16
"""A word behind a key that nothing ends: shown, though it may be the last of the key's letters."""

_END_BEGINNING: Final = re.compile(r"(?:-{1,5}|-----E(?:ND?)?|-----END [A-Z0-9 ]{0,60}-{0,4}|\\r?)\Z")


class RedactedText:
    """Feed it chunks, get chunks without secrets back. What may be the beginning of a secret is held back until the
    next chunk tells, or `release` or `end` is called; what is given out is never taken back."""

    def __init__(self, redactor: Redactor, *, bare: bool = False) -> None:
        self._redactor = redactor
        self._bare = bare
        self._text = ""
        self._out = 0
        """How much of `_text` was given out, or struck, already: it stays for what it may be the beginning of."""
        self._first = 0
        """Where in `_text` a secret may begin: behind a character that only tells what stands before it."""
        self._struck: tuple[re.Pattern[str], int] | None = None
        """What the secret that was struck last may go on with, and for how many characters."""
        self._key: _KeyLines | None = None

    @property
    def held(self) -> str:
        """What is held back, and `release` would give."""
        return self._text[self._out :]

    def is_plain(self, chunks: str) -> bool:
        """Whether chunks, joined, are nothing but themselves: then they count as given out, at the cost of one."""
        if self._struck is not None or self._key is not None or self._out < len(self._text):
            return False
        text, first = self._text + chunks, self._first
        if not self._redactor.is_plain(text, first):
            return False
        keep = max(0, len(text) - SHORT)
        self._text, self._out, self._first = text[keep:], len(text) - keep, 1 if keep else first
        return True

    def feed(self, chunk: str) -> str:
        """What can be given out now."""
        return self._take(chunk, last=False)

    def release(self) -> str:
        """What is held back, though it may still become a secret: what would come of it later is struck then."""
        return self._advance(last=True)

    def part(self) -> None:
        """Something else comes between this chunk and the next: unless something may go on, the next is a beginning."""
        if self._key is None and self._redactor.beginning(self._text, self._first) == len(self._text):
            self._reset()

    def end(self, *, cut: bool = False) -> str:
        """What is held back, as no more comes. `cut`: more would have come, so that the beginning of a secret is
        struck as one."""
        if cut:
            first = self._redactor.beginning(self._text, self._first)
            if len(self._text) - max(first, self._out) >= LEAST_CUT:
                self._text = self._text[:first]
                rest = self._advance(last=True) + (BARE if self._bare else mark(CUT))
                self._reset()
                return rest
        rest = self._advance(last=True) if self._key is None else self._key.rest()
        self._reset()
        return rest

    def _reset(self) -> None:
        self._text, self._out, self._first, self._struck, self._key = "", 0, 0, None, None

    def _take(self, chunk: str, *, last: bool) -> str:
        if self._key is not None:
            left = self._key.feed(chunk)
            if left is None:
                return ""
            self._key, chunk = None, left
        if self._struck is not None:
            more, room = self._struck
            found = more.match(chunk, 0, room)
            size = found.end() if found is not None else 0
            if size == len(chunk) and size < room:
                self._struck = more, room - size
                return ""
            self._struck, chunk = None, chunk[size:]
        self._text += chunk
        return self._advance(last=last)

    def _advance(self, *, last: bool) -> str:
        """Give out all that is sure to be no secret, or with `last` all that is none yet."""
        text, redactor = self._text, self._redactor
        pieces: list[str] = []
        held = redactor.beginning(text, self._first)
        at = self._out
        for found in redactor.find(text, self._first):
            if found.end <= self._out:
                continue
            if not last and (found.start >= held or redactor.goes_on(text, found)):
                held = min(held, found.start)
                break
            pieces += [text[at : found.start], BARE if self._bare else mark(found.name)]
            at = found.end
            if found.is_key:
                self._text, self._out, self._first, self._key = text[at - 1 : at], 1, 1, _KeyLines()
                return "".join(pieces) + self._take(text[at:], last=last)
            if at == len(text) and found.more is not None and found.room:
                self._text, self._out, self._first = text[-1:], 1, 1
                self._struck = found.more, found.room
                return "".join(pieces)
            if held < at:
                held = redactor.beginning(text, at)
        shown = len(text) if last else max(held, at)
        pieces.append(text[at:shown])
        keep = max(0, min(held, len(text) - SHORT + 1) - 1)
        self._text, self._out = text[keep:], max(shown, at) - keep
        self._first = 1 if keep else self._first
        return "".join(pieces)


class _KeyLines:
    """The lines of a private key whose beginning was struck, up to the first that is none of its."""

    def __init__(self) -> None:
        self._line = ""
        self._room = shapes.MOST_KEY_CHARS

    def feed(self, chunk: str) -> str | None:
        """None while all is the key's; else what comes behind it."""
        text = self._line + chunk
        self._room -= len(chunk)
        at = 0
        for found in shapes.KEY_BREAK.finditer(text):
            if (ended := shapes.KEY_END.search(text, at, found.start())) is not None:
                return text[ended.end() :]
            if self._room < 0 or not _is_line(text[at : found.start()]):
                return text[at:]
            at = found.end()
        if (ended := shapes.KEY_END.search(text, at)) is not None:
            return text[ended.end() :]
        self._line = text[at:]
        return None if self._room >= 0 and _may_be_line(self._line) else self._line

    def rest(self) -> str:
        """What is behind the last line's end, when it is too little to be told from a key."""
        return self._line if len(self._line) < MOST_REST else ""


def _is_line(line: str) -> bool:
    return len(line) <= shapes.LONGEST_KEY_LINE and shapes.KEY_LINE.fullmatch(line) is not None


def _may_be_line(line: str) -> bool:
    return _is_line(_END_BEGINNING.sub("", line))


def strike(redactor: Redactor, text: str, *, cut: bool = False, bare: bool = False) -> str:
    """A whole text without its secrets; the same object where there are none. `cut`, `bare`: see `RedactedText`."""
    if not cut and next(iter(redactor.find(text)), None) is None:
        return text
    whole = RedactedText(redactor, bare=bare)
    return whole.feed(text) + whole.end(cut=cut)
