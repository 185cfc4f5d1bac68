"""The way from a gateway to the stack's forward proxy, which alone resolves names and has a way out."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final

MAX_HEAD: Final = 64 * 1024
"""Bytes of an answer's line and headers: a web server outside says what it likes."""

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 60.0
"""The forward proxy gives up a name, or a host that does not answer, before this."""

_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r\n")
_DENIED: Final = re.compile(rb"(?i)\r\nx-smokescreen-error:")
_BETWEEN: Final = re.compile(
    rb"(?im)^(?:connection|keep-alive|proxy-connection|x-smokescreen-[^:\r\n]*):[^\r\n]*\r\n"
)


class ForwardError(OSError):
    """The forward proxy does not answer, or what it answers is no HTTP."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer of the forward proxy's. `denied`: it does not go to the address that the name leads to."""

    status: int
    denied: bool
    head: bytes

    def last(self) -> bytes:
        """The head to be told to a client as its connection's last."""
        line, _, rest = self.head.partition(b"\r\n")
        return line + b"\r\n" + _BETWEEN.sub(b"", rest[:-2]) + b"Connection: close\r\n\r\n"


class Forward:
    """One connection to the forward proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, head: bytes) -> Answer:
        """Send a request's head and read that of the answer. Raises `ForwardError`."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self.writer.write(head)
                await self.writer.drain()
                said = await self.reader.readuntil(b"\r\n\r\n")
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise ForwardError(f"the forward proxy broke off ({type(error).__name__})") from error
        status = _STATUS.match(said)
        if status is None:
            raise ForwardError("the forward proxy's answer is no HTTP")
        return Answer(int(status[1]), _DENIED.search(said) is not None and status[1] == b"407", said)

    def close(self) -> None:
        """End it, whatever waits."""
        self.writer.transport.abort()


async def open_forward(address: str) -> Forward:
    """A connection to `address`, a host and a port. Raises `ForwardError`."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return Forward(*await asyncio.open_connection(host, int(port), limit=MAX_HEAD))
    except (OSError, TimeoutError) as error:
        raise ForwardError(f"the forward proxy cannot be reached ({type(error).__name__})") from error
