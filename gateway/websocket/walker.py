"""Walks the frames that a peer sends: their heads are judged and counted, their payloads stay where they are."""

from __future__ import annotations

import struct
from typing import Final, TypeAlias

from gateway.websocket.frames import CONTROL, CONTROL_LIMIT, FIN, OPCODE, RESERVED, Breach, Code, Op

PLAIN: Final = 0x81
"""The first byte of a text message in one frame."""

_HEAD: Final = struct.Struct(">BBH").unpack_from
_WORD: Final = struct.Struct(">I").unpack_from
_MIDDLE_HEAD: Final = 4
_MIDDLE_LIMIT: Final = 65535
"""Bytes of the head, mask aside, of a payload of 126 to 65,535 bytes, and the longest such payload."""

SLICE_FRAMES: Final = 2000
"""Frames that are walked before the loop gets its turn: half a millisecond at most."""

Frame: TypeAlias = tuple[int, int, int, int]
"""Where a whole frame lies: its first byte, and the offsets of its head, its payload and its end."""


class Walker:
    """Walks the frames that one peer sends. `masked`: whether it must mask them. `limit`: bytes of a message.

    Payloads may lie anywhere over the pieces that are walked, unless `whole`: then a frame counts only once all of it
    is there, and `frames` holds those of the last walk. `small` and `hollow` count frames until whoever spends them
    sets them to 0: those with fewer than 126 bytes, and those that say nothing (control frames, empty ones). `breach`:
    why nothing more is walked. `closing`: a close frame was walked, the last of all.
    """

    __slots__ = (
        "_ahead",
        "_base",
        "_key",
        "_middle",
        "_open",
        "_over",
        "_plain_word",
        "_through",
        "_whole",
        "breach",
        "closing",
        "frames",
        "hollow",
        "limit",
        "need",
        "plain",
        "room",
        "small",
    )

    def __init__(self, *, masked: bool, whole: bool, limit: int) -> None:
        self._key = 4 if masked else 0
        self._base = 0x80 if masked else 0
        self._middle = self._base | 126
        self._over = _MIDDLE_HEAD + self._key
        self._plain_word = PLAIN << 24 | self._middle << 16
        self._whole = whole
        self._ahead = 0
        self._open = False
        self._through = min(limit, _MIDDLE_LIMIT)
        self.limit = limit
        self.room = limit
        self.small = self.hollow = 0
        self.plain = True
        """Whether the last walk met nothing but text frames that are whole messages."""
        self.need = 2
        """Bytes that must be there, from where the last walk stopped, before another walk gets any further."""
        self.frames: list[Frame] = []
        self.breach: Breach | None = None
        self.closing = False

    @property
    def at_boundary(self) -> bool:
        """Whether what was walked ends with a frame, so that another may follow."""
        return not self._ahead

    def walk(self, data: bytes, most: int = SLICE_FRAMES) -> int:  # noqa: C901 - calls would cost as much as the rest
        """Walk `data`, `most` frames at most; the offset up to which it is in order."""
        frames = self.frames
        frames.clear()
        self.plain = True
        size = len(data)
        at = self._ahead
        if at >= size or self.breach is not None or self.closing:
            stop = min(at, size)
            self._ahead = at - stop
            self._note_through(between=at == stop and not self._open)
            self.need = 1
            return stop
        whole, base, key = self._whole, self._base, self._key
        middle, over = self._middle, self._over
        is_open, room = self._open, self.room
        small = hollow = 0
        need = 2
        while most:
            body = at + 2
            if at + 4 <= size:
                first, length, extended = _HEAD(data, at)
                if length == middle and first == PLAIN and 126 <= extended <= room and not (is_open or whole):
                    at += over + extended  # what follows says the same, and takes longer
                    most -= 1
                    continue
            elif body <= size:
                first, length, extended = data[at], data[at + 1], 0
            else:
                need = 2
                break
            length -= base
            if length == 126:
                body += 2
                if body > size:
                    need = 4
                    break
                length = extended
                if length < 126:
                    self.breach = Breach(Code.PROTOCOL_ERROR, "length in more bytes than it needs")
                    break
            elif length == 127:
                body += 8
                if body > size:
                    need = 10
                    break
                length = int.from_bytes(data[at + 2 : body], "big")
                if length < 65536 or length >> 63:
                    self.breach = Breach(Code.PROTOCOL_ERROR, "length in more bytes than it needs")
                    break
            elif not 0 <= length < 126:
                self.breach = Breach(Code.PROTOCOL_ERROR, "unmasked frame" if base else "masked frame")
                break
            body += key
            end = body + length
            if first == PLAIN and not is_open:
                if length > room:
                    self.breach = Breach(Code.TOO_BIG, "message too long")
                    break
                if whole:
                    if end > size:
                        need = end - at
                        break
                    frames.append((first, at, body, end))
            else:
                self.breach = _judge(first, length, room, is_open=is_open)
                if self.breach is not None:
                    break
                if whole:
                    if end > size:
                        need = end - at
                        break
                    frames.append((first, at, body, end))
                self.plain = False
                if first & CONTROL:
                    if length:
                        hollow += 1
                    if first & OPCODE == Op.CLOSE:
                        self.closing = True
                        most = 1
                elif first & FIN:
                    is_open, room = False, self.limit
                else:
                    is_open, room = True, room - length
            if length < 126:
                small += 1
                if not length:
                    hollow += 1
            at = end
            most -= 1
        self._open, self.room = is_open, room
        self.small += small
        self.hollow += hollow
        stop = min(at, size)
        self._ahead = at - stop
        self._note_through(between=at == stop and not is_open)
        self.need = 1 if at > size else need
        return stop

    def passes(self, data: bytes) -> bool:
        """Whether `data` is one text message of 126 to 65,535 bytes, whole, between two others: then it is walked. As
        frames come one by one that is what most pieces are; a walk, which is told of everything, takes three times as
        long."""
        size = len(data) - self._over
        return 126 <= size <= self._through and _WORD(data)[0] == self._plain_word + size

    def _note_through(self, *, between: bool) -> None:
        """Note the longest payload that `passes`: none but where a message may begin."""
        may = between and not self.closing and self.breach is None
        self._through = min(self.room, _MIDDLE_LIMIT) if may else 0

    def allow(self, limit: int) -> None:
        """Take messages of `limit` bytes from the next one on."""
        self.limit = limit
        if not self._open:
            self.room = limit
            self._note_through(between=not self._ahead)


def _judge(first: int, length: int, room: int, *, is_open: bool) -> Breach | None:
    """What is wrong with a head that is not that of a plain text message."""
    op = first & OPCODE
    if first & RESERVED:
        return Breach(Code.PROTOCOL_ERROR, "reserved bits")
    if op & CONTROL:
        if op > Op.PONG:
            return Breach(Code.PROTOCOL_ERROR, "reserved opcode")
        if not first & FIN or length > CONTROL_LIMIT:
            return Breach(Code.PROTOCOL_ERROR, "control frame in pieces or too long")
        return None
    if op > Op.BINARY:
        return Breach(Code.PROTOCOL_ERROR, "reserved opcode")
    if is_open != (op == Op.CONTINUATION):
        return Breach(Code.PROTOCOL_ERROR, "continuation of nothing, or a message within a message")
    if length > room:
        return Breach(Code.TOO_BIG, "message too long")
    return None
