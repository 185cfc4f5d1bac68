"""What a WebSocket is sent: lines as a message each in one write, and nothing once it is over."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web

from container.web.outgoing import Outgoing, text_frames
from gateway.websocket.frames import Op, frame
from tests.gateway.websocket.memory import MemoryTransport, texts_of


class Counting(MemoryTransport):
    """Knows how many writes there were."""

    writes = 0

    def write(self, data: Any) -> None:
        self.writes += 1
        super().write(data)


class Drain:
    """Ends when the peer has taken what waits."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()

    async def drain(self) -> None:
        await self.may_end.wait()


def outgoing(transport: MemoryTransport | None, *, closed: bool = False) -> tuple[Outgoing, Drain]:
    drain = Drain()
    ws = SimpleNamespace(closed=closed)
    request = SimpleNamespace(transport=transport, writer=drain)
    return Outgoing(cast("web.WebSocketResponse", ws), cast("web.BaseRequest", request)), drain


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 200_000])
def test_a_line_of_any_length_is_a_frame_as_the_rfc_has_it(size: int) -> None:
    assert text_frames(b"x" * size) == frame(Op.TEXT, b"x" * size, masked=False)


async def test_lines_are_a_message_each_and_one_write_which_waits_for_the_peer() -> None:
    lines = [b'{"n":%d,"text":"%s"}' % (number, b"x" * number) for number in range(300)]
    transport = Counting()
    out, drain = outgoing(transport)
    sending = asyncio.create_task(out.messages(b"\n".join(lines)))
    await asyncio.sleep(0)
    assert texts_of(bytes(transport.written)) == lines
    assert transport.writes == 1
    assert not sending.done()
    drain.may_end.set()
    await asyncio.wait_for(sending, 5)


async def test_nothing_is_written_behind_a_close_or_to_one_that_is_gone() -> None:
    closed, ended = MemoryTransport(), MemoryTransport()
    ended.ended = True
    for out, _ in (outgoing(closed, closed=True), outgoing(ended), outgoing(None)):
        with pytest.raises(ConnectionError):
            await out.messages(b"late")
    assert closed.written == b""
