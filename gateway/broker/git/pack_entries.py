"""What an object of a pack begins with, and what a delta makes (gitformat-pack). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

COMMIT: Final = 1
OFS_DELTA: Final = 6
REF_DELTA: Final = 7
_KINDS: Final = frozenset({COMMIT, 2, 3, 4, OFS_DELTA, REF_DELTA})
"""Those, and trees, blobs and tags."""

LONGEST: Final = 10
"""Bytes of a number."""

LONGEST_HEAD: Final = 2 * LONGEST + 32
"""Bytes of two, or of one and of an object's name."""


class BadPack(ValueError):
    """What is no pack, or more than may be looked at."""


@dataclass(frozen=True, slots=True)
class EntryHead:
    """`size`: of the object, or of the delta, once unpacked. `length`: of the head itself. `back`: how far before this
    one its base began, where that is how it is told."""

    kind: int
    size: int
    length: int
    back: int = 0


def entry_head(data: Sequence[int], digest: int) -> EntryHead | None:
    """None when it has not come whole; `digest`: bytes of an object's name. Raises `BadPack`."""
    length = _number(data, 0)
    if length is None:
        return None
    kind, size = data[0] >> 4 & 7, data[0] & 15
    for place, byte in enumerate(data[1:length]):
        size |= (byte & 127) << 4 + 7 * place
    if kind not in _KINDS:
        raise BadPack("an object is of no known kind")
    if kind == REF_DELTA:
        return EntryHead(kind, size, length + digest) if len(data) >= length + digest else None
    if kind != OFS_DELTA:
        return EntryHead(kind, size, length)
    more = _number(data, length)
    if more is None:
        return None
    back = data[length] & 127
    for byte in data[length + 1 : length + more]:
        back = back + 1 << 7 | byte & 127
    return EntryHead(kind, size, length + more, back)


def _number(data: Sequence[int], at: int) -> int | None:
    """How many bytes the number there has; None when it has not come whole. Raises `BadPack`."""
    for length in range(1, LONGEST + 1):
        if at + length > len(data):
            return None
        if not data[at + length - 1] & 128:
            return length
    raise BadPack("a number is too long")


def patched(base: bytes, delta: bytes, most: int, most_steps: int) -> tuple[bytes, int]:
    """What a delta makes of its base, of `most` bytes at most, and in how many of `most_steps` instructions. Raises
    `BadPack`."""
    try:
        source, at = _varint(delta, 0)
        target, at = _varint(delta, at)
        if source != len(base) or target > most:
            raise BadPack("a delta is of another base, or too large")
        made = bytearray()
        steps = 0
        while at < len(delta):
            steps += 1
            if steps > most_steps:
                raise BadPack("its commits have too many deltas")
            code = delta[at]
            at += 1
            if not code:
                raise BadPack("a delta has an instruction that nobody knows")
            if not code & 128:
                made += delta[at : at + code]
                at += code
                continue
            start, size, at = _copied(delta, at, code)
            if start + size > len(base):
                raise BadPack("a delta copies what its base has not")
            made += base[start : start + size]
            if len(made) > target:
                raise BadPack("a delta makes more than it says")
    except IndexError as error:
        raise BadPack("a delta is cut off") from error
    if len(made) != target:
        raise BadPack("a delta makes less than it says")
    return bytes(made), steps


def _copied(delta: bytes, at: int, code: int) -> tuple[int, int, int]:
    """Which bytes of the base, and how many, an instruction copies, and where the next one begins."""
    start = size = 0
    for bit in range(4):
        if code & 1 << bit:
            start |= delta[at] << 8 * bit
            at += 1
    for bit in range(3):
        if code & 16 << bit:
            size |= delta[at] << 8 * bit
            at += 1
    return start, size or 0x10000, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return value, at
        if shift > 63:
            raise BadPack("a delta's size is none")
