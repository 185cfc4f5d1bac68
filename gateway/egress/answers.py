"""What the proxy says to a client, and how it parts from one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from gateway.egress.pipe import CHUNK
from gateway.egress.policy import Blocked

ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"

PARTING_SECONDS: Final = 5.0
PARTING_BYTES: Final = 256 * 1024
"""A client that is told that this was its last request has so long to read the answer and close."""

CLOSE_SECONDS: Final = 1.0

_WORDS: Final = {
    Blocked.HOST: "{host} is not on the list of hosts that this sandbox may reach",
    Blocked.PORT: "port {port} of {host} is not reached: 443 by TLS and 80 by HTTP are",
    Blocked.ADDRESS: "{host} leads to an address that no sandbox may reach",
}


class Refused(Exception):
    """What the client is told, and nothing more: `status` and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


def blocked(why: Blocked, host: str, port: int) -> Refused:
    """A host that is not reached."""
    return Refused(403, _WORDS.get(why, "").format(host=host, port=port))


def answer(status: int, sentence: str) -> bytes:
    """An answer that is the connection's last. Its line has the sentence, too: of a refused CONNECT many clients show
    nothing else."""
    said = sentence.encode("ascii", "replace").replace(b"\r", b" ").replace(b"\n", b" ")
    asks = b'Proxy-Authenticate: Basic realm="sandbox"\r\n' if status == 407 else b""
    head = b"HTTP/1.1 %d %s\r\n%sContent-Type: text/plain; charset=utf-8\r\n" % (status, said, asks)
    return head + b"Content-Length: %d\r\nConnection: close\r\n\r\n%s\n" % (len(said) + 1, said)


async def part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close it once what was written is out, or after a moment. What the client still says meanwhile (apt asks for the
    next file before it has the first) is thrown away: closed on unread, it would be reset and lose its answer."""
    if not writer.transport.is_closing():
        with suppress(OSError, TimeoutError):
            writer.write_eof()
            async with asyncio.timeout(PARTING_SECONDS):
                left = PARTING_BYTES
                while left > 0 and (data := await reader.read(CHUNK)):
                    left -= len(data)
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await writer.wait_closed()
            return
    writer.transport.abort()
