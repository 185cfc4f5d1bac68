"""Git's pkt-lines (gitprotocol-common), as far as pushes and their answers need them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MAX_LINE: Final = 65520
FLUSH: Final = b"0000"
BAND: Final = 65515
"""Bytes that a line of side-band-64k has room for."""

FIRST_LINES: Final = 8
"""Capabilities stand in the first ref of a list, behind a line that names the service and a flush."""

_LENGTH: Final = re.compile(rb"[0-9a-fA-F]{4}")
_COMMAND: Final = re.compile(
    rb"([0-9a-f]{40}(?:[0-9a-f]{24})?) ([0-9a-f]{40}(?:[0-9a-f]{24})?) ([^\x00\n]{1,4096})"
)
_SHALLOW: Final = re.compile(rb"shallow [0-9a-f]{40}(?:[0-9a-f]{24})?\n?")


class BadPktLine(ValueError):
    """What is no pkt-line, or none that may stand here."""


def line(payload: bytes) -> bytes:
    """One line."""
    return b"%04x%s" % (len(payload) + 4, payload)


@dataclass(frozen=True, slots=True)
class Command:
    """One ref of a push: object ids in hexadecimal, all zeros for none."""

    old: str
    new: str
    ref: str

    @property
    def deletes(self) -> bool:
        return not self.new.strip("0")

    @property
    def creates(self) -> bool:
        return not self.old.strip("0")


@dataclass(frozen=True, slots=True)
class Push:
    """What a push asks for. `capabilities`: those that the client has chosen."""

    commands: tuple[Command, ...]
    capabilities: frozenset[str]


class Lines:
    """Lines as they come, in any pieces."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = 0

    def feed(self, piece: bytes) -> None:
        """More of them."""
        self._data += piece

    def next(self) -> bytes | None:
        """The next line's payload; empty for what only divides or ends, None when it has not come whole. Raises
        `BadPktLine`."""
        head = bytes(self._data[self._at : self._at + 4])
        if len(head) < 4:
            return None
        if not _LENGTH.fullmatch(head):
            raise BadPktLine("a line's length is no number")
        size = int(head, 16)
        if size < 3:  # a flush, or what divides and ends answers
            self._at += 4
            return b""
        if not 4 < size <= MAX_LINE:
            raise BadPktLine(f"a line has {size} bytes")
        if len(self._data) < self._at + size:
            return None
        payload = bytes(self._data[self._at + 4 : self._at + size])
        self._at += size
        return payload

    def forget(self) -> None:
        """What was read is kept no more."""
        del self._data[: self._at]
        self._at = 0

    def taken(self) -> bytes:
        """All that was fed, and is not forgotten."""
        return bytes(self._data)

    def rest(self) -> bytes:
        """What came behind the last line."""
        return bytes(self._data[self._at :])


class PushReader(Lines):
    """Reads the beginning of a push, up to the end of its commands, and of its options (`git push -o`) where it says
    that it has some."""

    def __init__(self, most: int) -> None:
        """`most`: bytes that the commands may have."""
        super().__init__()
        self._most = most
        self._commands: list[Command] = []
        self._capabilities: frozenset[str] = frozenset()
        self._first = True
        self._commands_ended = False

    def read(self, piece: bytes) -> Push | None:
        """The push once all its commands have come. Raises `BadPktLine`."""
        self.feed(piece)
        while (payload := self.next()) is not None:
            if payload == b"":
                if self._data[self._at - 4 : self._at] != FLUSH:
                    raise BadPktLine("its commands end with something else than a flush")
                if self._commands_ended or "push-options" not in self._capabilities:
                    return Push(tuple(self._commands), self._capabilities)
                self._commands_ended = True
            elif not self._commands_ended:
                self._take(payload)
        if len(self._data) > self._most:
            raise BadPktLine(f"its commands have more than {self._most} bytes")
        return None

    def _take(self, payload: bytes) -> None:
        if _SHALLOW.fullmatch(payload):
            return
        text, nul, capabilities = payload.partition(b"\0")
        read = _COMMAND.fullmatch(text.removesuffix(b"\n"))
        if read is None or (nul and not self._first):
            raise BadPktLine("a command is none that is known here")
        if nul:
            self._capabilities = frozenset(capabilities.decode("utf-8", "replace").split())
        self._first = False
        old, new, ref = (part.decode("utf-8", "surrogateescape") for part in read.groups())
        self._commands.append(Command(old, new, ref))


def refusal(push: Push, reasons: Iterable[tuple[str, str]]) -> bytes:
    """The answer to a push of which nothing is taken: `(ref, why)` for each command."""
    lines = [
        line(b"ng %s %s\n" % (ref.encode("utf-8", "surrogateescape"), why.encode())) for ref, why in reasons
    ]
    said = b"".join([line(b"unpack ok\n"), *lines, FLUSH])
    if "side-band-64k" not in push.capabilities:
        return said
    bands = (line(b"\x01" + said[at : at + BAND]) for at in range(0, len(said), BAND))
    return b"".join(bands) + FLUSH


def advertised(answer: bytes, *, add: str, without: Iterable[str]) -> bytes:
    """A host's list of refs for pushes, with a capability more and without those that begin so. What is no such list
    stays as it is."""
    at = 0
    for _ in range(FIRST_LINES):
        if not _LENGTH.fullmatch(answer[at : at + 4]):
            break
        size = int(answer[at : at + 4], 16)
        if size == 0:
            at += 4
            continue
        payload = answer[at + 4 : at + size]
        ref, nul, given = payload.partition(b"\0")
        if nul and len(payload) == size - 4:
            words = [
                word
                for word in given.decode("utf-8", "surrogateescape").split()
                if not word.startswith(tuple(without))
            ]
            mended = ref + b"\0" + " ".join([*words, add]).encode("utf-8", "surrogateescape") + b"\n"
            return answer[:at] + line(mended) + answer[at + size :]
        at += max(size, 4)
    return answer
