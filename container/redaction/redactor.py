"""Finds secrets in a text, and what may be the beginning of one at its end. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from container.redaction import shapes

MOST_KNOWN: Final = 64
"""Values that are looked for; a user's MCP servers have a handful."""

LEAST_KNOWN, MOST_KNOWN_CHARS = 8, 4096
"""A known value's length: shorter ones would be struck out of words, longer ones are files."""

SHORT: Final = 4
"""The beginning of a known value within a word counts from so many characters on; at a word's beginning from one on."""

BARE: Final = "[*]"
"""A strike that is shorter than whatever it stands for."""

_ALL: Final = re.compile(shapes.patterns())
_NAMES: Final = (*(shape.name for shape in shapes.SHAPES), shapes.PRIVATE_KEY)
_HINTS: Final = re.compile(shapes.hints())
_HINTS_IN_BYTES: Final = re.compile(shapes.hints().encode())
_BEGINNING: Final = re.compile(shapes.beginnings())
_STARTS: Final = frozenset(
    prefix[:size] for shape in shapes.SHAPES for prefix in shape.prefixes for size in (1, 2, 3)
)
"""What a word may begin with that becomes one of the shapes: most words do not, and are not looked at further."""

_LONGEST: Final = shapes.longest_beginning()
_LONGEST_PREFIX: Final = max(len(prefix) for shape in shapes.SHAPES for prefix in shape.prefixes)
_SHORTEST: Final = min(
    min(map(len, shape.prefixes))
    + sum(len(part) if isinstance(part, str) else part.least for part in shape.parts)
    for shape in shapes.SHAPES
)
_LAST: Final = {
    number: (part.kind, part.most)
    for number, shape in enumerate(shapes.SHAPES, 1)
    if isinstance(part := shape.parts[-1], shapes.Chars) and part.most > part.least
}
"""By number of a shape, what a found one may still grow by."""


class Found(NamedTuple):
    """A secret from `start` to `end`. `more`: what it goes on with, should the text do, of at most `room` characters.
    `is_key`: it is a private key's beginning."""

    start: int
    end: int
    name: str
    more: re.Pattern[str] | None = None
    room: int = 0

    @property
    def is_key(self) -> bool:
        """Whether a private key begins here; where it ends is for its lines to say."""
        return self.name == shapes.PRIVATE_KEY


class Redactor:
    """Looks for all shapes, and for `known` values: each with the name that its strike tells. Of values also as JSON
    escapes them."""

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        usable = {
            value: name
            for value, name in (known or {}).items()
            if LEAST_KNOWN <= len(value) <= MOST_KNOWN_CHARS
        }
        longest = sorted(usable.items(), key=lambda item: -len(item[0]))[:MOST_KNOWN]
        self._known = dict(sorted(_with_escaped(longest), key=lambda item: -len(item[0])))
        self._values = re.compile("|".join(map(re.escape, self._known))) if self._known else None
        self._shortest = min(_SHORTEST, min(map(len, self._known), default=_SHORTEST))
        self._longest = max(map(len, self._known), default=0)
        self._by_head: dict[str, list[str]] = {}
        for value in self._known:
            self._by_head.setdefault(value[:SHORT], []).append(value)
        self._heads = re.compile(f"(?={'|'.join(map(re.escape, self._by_head))})")
        self._shorts = frozenset(head[:size] for head in self._by_head for size in range(1, SHORT))
        self._hints = re.compile(shapes.hints(self._by_head)) if self._known else _HINTS
        self._in_json = tuple(json.dumps(value, ensure_ascii=False)[1:-1].encode() for value in self._known)
        self._escape = b"\\u00" if "".join(self._known).isascii() else b"\\u"

    def may_hold(self, frames: bytes) -> bool:
        """Whether JSON texts may hold a secret within one of their strings: False is sure, and quickly said."""
        if _HINTS_IN_BYTES.search(frames) is not None or self._escape in frames or b"\\/" in frames:
            return True
        return any(value in frames for value in self._in_json)

    def is_plain(self, text: str, start: int = 0) -> bool:
        """Whether there is no secret behind `start`, and none begins at the end: True is sure, and quickly said."""
        if self._hints.search(text, start) is not None:
            return False
        # Without a hint only a part of a prefix, or of a known value's, can be the beginning of anything.
        end = text[-_LONGEST_PREFIX:]
        for size in range(1, SHORT):
            if end[-size:] in self._shorts and not end[-size - 1 : -size].isalnum():
                return False
        word = end[len(end.rstrip(shapes.LETTERS)) :]
        # A shape begins a word: of one that is as long as any prefix, without a hint, nothing more can come.
        return not word or (word.isalnum() and (len(word) == _LONGEST_PREFIX or word[:3] not in _STARTS))

    def find(self, text: str, start: int = 0) -> Iterable[Found]:
        """The secrets behind `start`, one behind the other."""
        if len(text) - start < self._shortest or self._hints.search(text, start) is None:
            return ()
        values = self._values if any(value in text for value in self._known) else None
        has_shapes = _HINTS.search(text, start) is not None
        if values is None and not has_shapes:
            return ()
        return self._find(text, start, values, has_shapes=has_shapes)

    def _find(
        self, text: str, start: int, values: re.Pattern[str] | None, *, has_shapes: bool
    ) -> Iterator[Found]:
        while True:
            shape = _ALL.search(text, start) if has_shapes else None
            value = values.search(text, start) if values is not None else None
            if value is not None and (shape is None or value.start() <= shape.start()):
                found = Found(value.start(), value.end(), self._known[value[0]])
            elif shape is not None:
                found = _found(shape)
            else:
                return
            yield found
            start = found.end

    def beginning(self, text: str, start: int = 0) -> int:
        """Where at the text's end, behind `start`, what may become a secret begins; `len(text)` where nothing does."""
        end = len(text)
        first = end
        tail = len(text.rstrip(shapes.LETTERS))
        word = text[max(start, tail) :]
        if word and (word[:3] in _STARTS or not word.isalnum()):
            found = _BEGINNING.search(text, max(start, tail, end - _LONGEST))
            if found is not None:
                first = found.start()
        dashes = text.rfind(shapes.KEY_DASHES, max(start, end - shapes.LONGEST_KEY_BEGINNING))
        if 0 <= dashes < first and shapes.KEY_BEGINNING.match(text, dashes):
            first = dashes
        return min(first, self._beginning_of_known(text, start)) if self._known else first

    def _beginning_of_known(self, text: str, start: int) -> int:
        end = len(text)
        for found in self._heads.finditer(text, max(start, end - self._longest + 1)):
            at = found.start()
            if any(value.startswith(text[at:]) for value in self._by_head[text[at : at + SHORT]]):
                return at
        for at in range(max(start, end - SHORT + 1), end):
            if text[at:] in self._shorts and (at == 0 or not text[at - 1].isalnum()):
                return at
        return end

    def goes_on(self, text: str, found: Found) -> bool:
        """Whether a longer known value, of which `found` is the beginning, may come."""
        return any(
            len(value) > len(text) - found.start and value.startswith(text[found.start :])
            for value in self._known
        )


def _found(match: re.Match[str]) -> Found:
    number = match.lastindex or 0
    start, end = match.span()
    if number not in _LAST:
        return Found(start, end, _NAMES[number - 1])
    kind, most = _LAST[number]
    more = re.compile(f"[{kind}]+")
    used = end - len(match.string[start:end].rstrip(shapes.LETTERS)) - start
    return Found(start, end, _NAMES[number - 1], more, max(0, most - used))


def _with_escaped(known: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Values, and as they stand in a JSON text, which a tool may show or be given."""
    for value, name in known:
        yield value, name
        for ascii_alone in (True, False):
            yield json.dumps(value, ensure_ascii=ascii_alone)[1:-1], name


def mark(name: str) -> str:
    """What stands in a secret's place."""
    return f"[redacted: {name}]"
