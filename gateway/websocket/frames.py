"""Frames of RFC 6455 without I/O: the words of a head, what breaks its rules, and whole frames to send."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

FIN: Final = 0x80
RESERVED: Final = 0x70
OPCODE: Final = 0x0F
CONTROL: Final = 0x08
"""Bits of a head's first byte (RFC 6455 section 5.2)."""

CONTROL_LIMIT: Final = 125
"""Longest payload of a control frame (section 5.5)."""


class Op(IntEnum):
    """Opcodes (RFC 6455 section 5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Code(IntEnum):
    """Close codes of breaches (RFC 6455 section 7.4.1)."""

    PROTOCOL_ERROR = 1002
    UNSUPPORTED = 1003
    INVALID_TEXT = 1007
    POLICY = 1008
    TOO_BIG = 1009


@dataclass(frozen=True, slots=True)
class Breach:
    """What a peer did that ends its connection. `why` is a class of breaches, never what the peer sent."""

    code: Code
    why: str


def frame(op: Op, payload: bytes, *, masked: bool) -> bytes:
    """A whole message, or a control frame."""
    size = len(payload)
    bit = 0x80 if masked else 0
    if size < 126:
        head = bytes((FIN | op, bit | size))
    elif size < 65536:
        head = bytes((FIN | op, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((FIN | op, bit | 127)) + size.to_bytes(8, "big")
    if not masked:
        return head + payload
    key = secrets.token_bytes(4)
    return head + key + mask(payload, key)


def mask(payload: bytes, key: bytes) -> bytes:
    """Mask or unmask (RFC 6455 section 5.3)."""
    size = len(payload)
    repeated = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


def close_frame(code: int, reason: str = "", *, masked: bool) -> bytes:
    """A close frame; the reason is cut to what fits."""
    said = reason.encode()[: CONTROL_LIMIT - 2].decode(errors="ignore").encode()
    return frame(Op.CLOSE, code.to_bytes(2, "big") + said, masked=masked)


def close_code(payload: bytes) -> int | Breach | None:
    """The code in a close frame's payload, None when it gives none; what is wrong with it (RFC 6455 section 7.4)."""
    if not payload:
        return None
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or not (1000 <= code <= 1014 or 3000 <= code <= 4999) or code in (1004, 1005, 1006):
        return Breach(Code.PROTOCOL_ERROR, "close frame without a good code")
    if not is_text(payload[2:]):
        return Breach(Code.INVALID_TEXT, "close frame whose reason is no UTF-8")
    return code


def is_text(data: bytes) -> bool:
    """Whether the payload of a text message is UTF-8, as RFC 6455 section 8.1 demands."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
