"""A relay's far end that costs as little as it can: it echoes, or floods with frames made beforehand.

    python -m tests.bench.upstream PORT

Every message is echoed, but `FLOOD <count> <by>`: that is answered by `count` frames, `by` of them in each write.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import sys
from typing import Final

from container.protocol import VERSION

PAYLOAD_BYTES: Final = 200
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_KEY: Final = re.compile(rb"(?i)\r\nsec-websocket-key: *(\S+)")


def server_frame(payload: bytes) -> bytes:
    """A whole text message of a server; the payload has fewer than 65,536 bytes."""
    if len(payload) < 126:
        return bytes([0x81, len(payload)]) + payload
    return bytes([0x81, 126]) + len(payload).to_bytes(2, "big") + payload


FRAME: Final = server_frame(b"x" * PAYLOAD_BYTES)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection to its end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        found = _KEY.search(head)
        if found is None:
            body = b'{"status":"ok","version":"%s"}' % VERSION.encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
            )
            return
        accept = base64.b64encode(hashlib.sha1(found[1] + _GUID).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept
        )
        while True:
            await _answer(await _message(reader), writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2), "big")
    key = await reader.readexactly(4)
    body = await reader.readexactly(length)
    if first & 0x0F not in (1, 2):
        raise ConnectionResetError("closed")
    mask = (key * (length // 4 + 1))[:length]
    return (int.from_bytes(body, "big") ^ int.from_bytes(mask, "big")).to_bytes(length, "big")


async def _answer(message: bytes, writer: asyncio.StreamWriter) -> None:
    if not message.startswith(b"FLOOD "):
        writer.write(server_frame(message))
        return
    count, by = (int(part) for part in message.split()[1:])
    await writer.drain()
    plain = writer.get_extra_info("socket").dup()  # the transport would gather small writes
    try:
        for _ in range(count // by):
            await asyncio.get_running_loop().sock_sendall(plain, FRAME * by)
        await asyncio.get_running_loop().sock_sendall(plain, FRAME * (count % by))
    finally:
        plain.close()


async def main(port: int) -> None:
    """Serve until ended."""
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
