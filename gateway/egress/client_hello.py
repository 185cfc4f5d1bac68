"""Reads the server's name out of a TLS ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3). Pure, and strict."""

from __future__ import annotations

from typing import Final

from gateway.egress.hosts import BadHost, host_of

MAX_HELLO: Final = 16 * 1024
"""Bytes of a ClientHello: those with the longest keys of today have two thousand."""

MAX_RECORDS: Final = 16
"""Records that it may be spread over; one is usual."""

_MAX_RECORD: Final = 16 * 1024
"""RFC 8446 section 5.1."""

_RECORD_HEAD: Final = 5
_MESSAGE_HEAD: Final = 4
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_HOST_NAME: Final = 0

UNRECOGNIZED_NAME: Final = b"\x15\x03\x03\x00\x02\x02\x70"
"""The alert that says that this name is not served here (RFC 8446 section 6.2)."""


class HelloError(ValueError):
    """What came is no ClientHello with one server name."""


class ClientHello:
    """Takes bytes as they come. `data`: all that came, to be sent on once the name is known to be right."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._need = 1
        """With fewer bytes there is nothing new to be seen."""

    def feed(self, data: bytes) -> str | None:
        """The server's name, as `host_of` gives it, or None while the message is not whole. Raises `HelloError`."""
        self.data += data
        if len(self.data) < self._need:
            return None
        message = self._message()
        return None if message is None else _server_name(message)

    def _message(self) -> bytes | None:
        """The handshake message in the whole records that came, None while it is not whole."""
        data, at, records = self.data, 0, 0
        message = bytearray()
        while True:
            if at < len(data) and data[at] != _HANDSHAKE:
                raise HelloError("no TLS handshake")
            self._need = at + _RECORD_HEAD
            if self._need > len(data):
                return None
            size = int.from_bytes(data[at + 3 : at + 5], "big")
            records += 1
            if data[at + 1] != 3 or not 0 < size <= _MAX_RECORD or records > MAX_RECORDS:
                raise HelloError("no TLS handshake, or one in too many pieces")
            self._need += size
            if self._need > len(data):
                return None
            message += data[at + _RECORD_HEAD : self._need]
            at = self._need
            if message[0] != _CLIENT_HELLO:
                raise HelloError("the handshake begins with no ClientHello")
            whole = _MESSAGE_HEAD + int.from_bytes(message[1:_MESSAGE_HEAD], "big")
            if len(message) >= _MESSAGE_HEAD and whole > MAX_HELLO:
                raise HelloError("the ClientHello is too long")
            if len(message) >= _MESSAGE_HEAD and len(message) >= whole:
                return bytes(message[_MESSAGE_HEAD:whole])


class _Fields:
    """Reads fields of a message in order; one that goes past the end is a `HelloError`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise HelloError("a field goes past the end")
        taken, self._at = self._data[self._at : end], end
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """What is behind its own length, which has `size` bytes."""
        return self.take(self.number(size))

    @property
    def is_empty(self) -> bool:
        return self._at == len(self._data)


def _server_name(message: bytes) -> str:
    fields = _Fields(message)
    fields.take(2 + 32)  # version and random
    fields.vector(1)  # session id
    fields.vector(2)  # cipher suites
    fields.vector(1)  # compression methods
    extensions = _Fields(fields.vector(2))
    if not fields.is_empty:
        raise HelloError("there is something behind the extensions")
    found: bytes | None = None
    seen: set[int] = set()
    while not extensions.is_empty:
        kind, content = extensions.number(2), extensions.vector(2)
        if kind in seen:  # servers differ in which of the two they take
            raise HelloError("an extension comes twice")
        seen.add(kind)
        if kind == _SERVER_NAME:
            found = content
    if found is None:
        raise HelloError("no server name is given")
    names = _Fields(found)
    listed = _Fields(names.vector(2))
    if not names.is_empty or listed.number(1) != _HOST_NAME:
        raise HelloError("the server name is malformed")
    name = listed.vector(2)
    if not listed.is_empty:
        raise HelloError("more than one server name is given")
    try:
        return host_of(name.decode("ascii"))
    except (UnicodeDecodeError, BadHost):
        raise HelloError("the server name is no host's name") from None
