"""The commits of a pack, as it passes: enough to tell whether a push only adds to a branch. Pure."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from gateway.broker.git.pack_entries import COMMIT, LONGEST_HEAD, OFS_DELTA, BadPack, entry_head, patched

STEP: Final = 1024 * 1024
"""So much is unpacked at once of what is not kept."""

MOST_OBJECTS: Final = 1_000_000
"""Some 2 us of processor each, however small they are."""

MOST_WALKED: Final = 4_000_000
"""Commits and parents that are looked at on all ways back together: some 1 us each."""

LEAST_KEPT: Final = 256
"""What a commit counts at least of the bytes that are kept: those of its names, however small it is."""

MOST_STEPS: Final = 500_000
"""Instructions of all deltas of commits: some 2 us of processor each, however little they make."""

SLACK: Final = 64
"""More than zlib adds to what it cannot pack."""

_TREE: Final = re.compile(rb"tree [0-9a-f]{40,64}\n")
_PARENT: Final = re.compile(rb"parent ([0-9a-f]{40,64})\n")


class Commits:
    """Feed it a pack in any pieces; then ask it. Trees and blobs are unpacked to find their ends, and not kept."""

    def __init__(
        self, *, digest: Callable[[bytes], Any] = hashlib.sha1, kept_bytes: int, unpacked_bytes: int
    ) -> None:
        """`digest`: what objects are named by. `kept_bytes`: most bytes of commits; `unpacked_bytes`: most bytes that
        all objects may have."""
        self._digest = digest
        self._size = digest(b"").digest_size
        self._room = kept_bytes
        self._left = unpacked_bytes
        self._steps = MOST_STEPS
        self._walk = MOST_WALKED
        self._parents: dict[str, tuple[str, ...]] = {}
        self._by_offset: dict[int, bytes] = {}
        self._buffer = b""
        self._at = 0
        self._offset = 0
        self._objects: int | None = None
        self._read = self._header
        # Of the object that is being unpacked:
        self._began = 0
        self._kept: bytearray | None = None
        self._base: bytes | None = None
        self._unpacked = 0
        self._expected = 0
        self._inflate = zlib.decompressobj()

    def feed(self, piece: bytes) -> None:
        """More of it. Raises `BadPack`."""
        self._buffer = self._buffer[self._at :] + piece
        self._at = 0
        while self._read():
            pass

    def only_adds(self, old: str, *new: str) -> bool:
        """Whether `old` is among the forebears of one of `new`, by the commits of the pack. Raises `BadPack`."""
        return self.ends(old, *new) is None

    def ends(self, old: str, *new: str) -> set[str] | None:
        """None where `old` is among the forebears of one of `new`; else the commits that the pack does not have, at
        which the ways back from them end. Takes a while where there are many. Raises `BadPack`."""
        seen, ahead, outside = set(new), list(new), set()
        while ahead:
            one = ahead.pop()
            parents = self._parents.get(one)
            if parents is None:
                outside.add(one)
                continue
            self._walk -= len(parents) + 1
            if self._walk < 0:
                raise BadPack("it moves too many branches over too many commits")
            if old in parents:
                return None
            fresh = [parent for parent in parents if parent not in seen]
            seen.update(fresh)
            ahead += fresh
        return outside

    def _took(self, count: int) -> None:
        self._at += count
        self._offset += count

    def _header(self) -> bool:
        head = self._buffer[self._at : self._at + 12]
        if len(head) < 12:
            return False
        if head[:4] != b"PACK" or int.from_bytes(head[4:8], "big") not in (2, 3):
            raise BadPack("it is no pack of version 2 or 3")
        self._objects = int.from_bytes(head[8:12], "big")
        if self._objects > MOST_OBJECTS:
            raise BadPack(f"it has {self._objects} objects, and may have {MOST_OBJECTS}")
        self._took(12)
        self._read = self._entry
        return True

    def _entry(self) -> bool:
        """An object's kind, size and base."""
        if not self._objects:
            self._read = self._rest
            return True
        head = entry_head(self._buffer[self._at : self._at + LONGEST_HEAD], self._size)
        if head is None:
            return False
        base = self._by_offset.get(self._offset - head.back) if head.kind == OFS_DELTA else None
        self._began, self._base, self._expected, self._unpacked = self._offset, base, head.size, 0
        self._kept = bytearray() if head.kind == COMMIT or base is not None else None
        if self._kept is not None and head.size > self._room:
            raise BadPack("its commits are too large together")
        self._inflate = zlib.decompressobj()
        self._took(head.length)
        self._read = self._body
        return True

    def _body(self) -> bool:
        # No more than the object can have: what zlib does not need it copies.
        window = self._buffer[self._at : self._at + min(self._expected - self._unpacked, STEP) + SLACK]
        if not window:
            return False
        try:
            data = self._inflate.decompress(window, STEP)
        except zlib.error as error:
            raise BadPack("an object does not unpack") from error
        left = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
        self._took(len(window) - len(left))
        self._unpacked += len(data)
        self._left -= len(data)
        if self._unpacked > self._expected or self._left < 0:
            raise BadPack("it unpacks to more than it says or may")
        if self._kept is not None:
            self._kept += data
        if self._inflate.eof:
            if self._unpacked != self._expected:
                raise BadPack("an object is shorter than it says")
            self._ended()
            self._objects = (self._objects or 0) - 1
            self._read = self._entry
            return True
        return True

    def _rest(self) -> bool:
        """The digest at its end, and what a host would not read."""
        if len(self._buffer) - self._at > self._size:
            raise BadPack("there is more behind its end")
        return False

    def _ended(self) -> None:
        if self._kept is None:
            return
        data = bytes(self._kept)
        if self._base is not None:
            data, steps = patched(self._base, data, self._room, self._steps)
            self._steps -= steps
        self._kept = self._base = None
        self._room -= max(len(data), LEAST_KEPT)
        if self._room < 0:
            raise BadPack("its commits are too large together")
        self._by_offset[self._began] = data
        name = self._digest(b"commit %d\0" % len(data) + data).hexdigest()
        self._parents[name] = tuple(_parents_of(data))


def _parents_of(commit: bytes) -> Iterator[str]:
    """As git reads them: right behind the tree, and nowhere else. A line further down that looks like one is none."""
    found = _TREE.match(commit)
    while found is not None and (found := _PARENT.match(commit, found.end())) is not None:
        yield found[1].decode()
