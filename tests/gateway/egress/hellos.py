"""ClientHellos for tests: real ones of OpenSSL, and ones that are put together by hand."""

from __future__ import annotations

import ssl
from collections.abc import Sequence


def real_hello(host: str | None) -> bytes:
    """What a client sends first."""
    context = ssl.create_default_context()
    if host is None:
        context.check_hostname = False
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=host)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()
    raise AssertionError("a handshake ended by itself")


def vector(size: int, content: bytes) -> bytes:
    return len(content).to_bytes(size, "big") + content


def name_list(*names: bytes, kind: int = 0) -> bytes:
    return vector(2, b"".join(bytes([kind]) + vector(2, name) for name in names))


def extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(2, content)


def message(extensions: Sequence[bytes], *, kind: int = 1, behind: bytes = b"") -> bytes:
    """A handshake message."""
    body = b"\x03\x03" + bytes(32) + vector(1, b"") + vector(2, b"\x13\x01") + vector(1, b"\x00")
    body += vector(2, b"".join(extensions)) + behind
    return bytes([kind]) + vector(3, body)


def records(content: bytes, *, size: int = 1 << 14, kind: int = 22, major: int = 3) -> bytes:
    """`content` in records of at most `size` bytes."""
    parts = [content[at : at + size] for at in range(0, len(content), size)]
    return b"".join(bytes([kind, major, 1]) + vector(2, part) for part in parts)


def hello(name: bytes = b"pypi.org") -> bytes:
    """A good one."""
    return records(message([extension(0, name_list(name))]))
