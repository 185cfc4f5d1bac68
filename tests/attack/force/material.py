"""The bytes that attacks are made of: gzip bombs, WebSocket heads and frames."""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Mapping

MIB = 2**20
BODY_BYTES = "the-length-of-the-body"
"""Stands in a request for what is known once its body is made."""

ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

MASK = b"\x00\x00\x00\x00"
"""A client's mask (RFC 6455 section 5.3): with this one what is masked is what was meant."""

CLIENT_FRAMES: Mapping[str, bytes] = {
    "none": b"",
    "ping": b"\x89\x80" + MASK,
    "pong": b"\x8a\x80" + MASK,
    "empty": b"\x81\x80" + MASK,
    "byte": b"\x81\x81" + MASK + b"x",
    "object": b"\x81\x82" + MASK + b"{}",
    "continuation": b"\x00\x80" + MASK,
    "unmasked": b"\x81\x02{}",
}
"""By name, what a flood from a browser repeats. `continuation` wants FIRST before it."""

SERVER_FRAMES: Mapping[str, bytes] = {
    "none": b"",
    "ping": b"\x89\x00",
    "pong": b"\x8a\x00",
    "empty": b"\x81\x00",
    "byte": b"\x81\x01x",
    "continuation": b"\x00\x00",
}
"""By name, what a flood from an agent server repeats."""

FIRST = {True: b"\x01\x81" + MASK + b"x", False: b"\x01\x01x"}
"""The first piece of a message that never ends; True: masked."""


def bomb(unpacked: int) -> bytes:
    """gzip (RFC 1952) of so many zeros, in whole MiB: about a thousandth of its size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    # A full flush forgets what came before: the same bytes again are the same MiB again.
    piece = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    count = unpacked // MIB
    crc = 0
    for _ in range(count):
        crc = zlib.crc32(bytes(MIB), crc)
    tail = crc.to_bytes(4, "little") + (count * MIB % 2**32).to_bytes(4, "little")
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + piece * count + b"\x03\x00" + tail


def request(method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A request of HTTP/1.1 as it goes over the wire."""
    lines = [
        f"{method} {target} HTTP/1.1",
        "Host: gateway",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def upgrade(target: str, headers: Mapping[str, str]) -> bytes:
    """The head of a WebSocket's handshake (RFC 6455 section 4.1)."""
    base = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    return request("GET", target, {**base, **headers})


def accepted(head: bytes) -> bytes:
    """The right answer to a handshake."""
    found = re.search(rb"(?i)\r\nsec-websocket-key: *(\S+)", head)
    key = found[1] if found else b""
    accept = base64.b64encode(hashlib.sha1(key + ACCEPT_GUID).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept
    )


def close_code(tail: bytes) -> str:
    """The code of the server's close frame at the end of what it sent: it has at most 125 bytes, unmasked."""
    for at in range(max(0, len(tail) - 127), len(tail) - 1):
        size = tail[at + 1]
        if tail[at] == 0x88 and size < 126 and at + 2 + size == len(tail):
            return str(int.from_bytes(tail[at + 2 : at + 4], "big")) if size >= 2 else "none"
    return "none"
