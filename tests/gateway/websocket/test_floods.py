"""A flood of small frames, from whichever peer: some of it ends the connection, none of it holds up the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.sandboxes.agent_client import MESSAGE_LIMIT
from gateway.web.streams.browser_connection import browser_socket
from gateway.websocket import connection as connections
from gateway.websocket.connection import Connection
from gateway.websocket.frames import Op, frame
from gateway.websocket.messages import Messages
from gateway.websocket.pace import Bucket, Pace
from gateway.websocket.tunnel import End
from gateway.websocket.walker import SLICE_FRAMES, Walker
from tests.gateway.websocket.memory import MemoryTransport, frames_of

PACE = Pace(frames=20_000)
FLOOD = 60_000
"""Frames: three seconds' worth."""


def from_sandbox() -> Connection:
    """The end that a run's readers and its recorder have."""
    return Messages(server=False, limit=MESSAGE_LIMIT, pace=PACE, name="upstream")


def from_page() -> Connection:
    return browser_socket("s", PACE, 10)


def of_relay(*, server: bool) -> Connection:
    one, other = (
        End(server=side, limit=4 * 1024 * 1024, pace=PACE, name="relay") for side in (server, not server)
    )
    other.begin(MemoryTransport())
    one.begin(MemoryTransport())
    one.join(other)
    return one


PEERS: dict[str, Callable[[], Connection]] = {
    "sandbox": from_sandbox,
    "page": from_page,
    "page's relay": lambda: of_relay(server=True),
    "sandbox's relay": lambda: of_relay(server=False),
}
FRAMES: dict[str, Callable[[bool], bytes]] = {
    "empty": lambda masked: frame(Op.TEXT, b"", masked=masked),
    "ping": lambda masked: frame(Op.PING, b"x", masked=masked),
    "pong": lambda masked: frame(Op.PONG, b"", masked=masked),
    "empty continuation": lambda masked: bytes((0x00,)) + frame(Op.TEXT, b"", masked=masked)[1:],
    "one byte": lambda masked: frame(Op.TEXT, b"x", masked=masked),
    "continuation": lambda masked: bytes((0x00,)) + frame(Op.TEXT, b"x", masked=masked)[1:],
}
LASTING = {"one byte", "continuation"}
"""Floods that are read at the pace's speed; all others end their connection."""


class Turns:
    """Counts the frames that are walked in each turn of the loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = self.all = self._this = 0
        walk = Walker.walk

        def counted(walker: Walker, *rest: Any) -> int:
            before = walker.small
            stop = walk(walker, *rest)
            self._this += walker.small - before
            self.all += walker.small - before
            self.most = max(self.most, self._this)
            return stop

        monkeypatch.setattr(Walker, "walk", counted)

    async def next(self) -> None:
        self._this = 0
        await asyncio.sleep(0)
        self._this = 0


@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS.keys())
@pytest.mark.parametrize("kind", FRAMES)
async def test_a_flood_takes_little_of_each_turn_of_the_loop(
    monkeypatch: pytest.MonkeyPatch, peer: Callable[[], Connection], kind: str
) -> None:
    # Time stands still, so that nothing comes back of what a flood has used up.
    monkeypatch.setattr(connections, "Bucket", lambda rate, burst, _clock: Bucket(rate, burst, lambda: 0.0))
    connection = peer()
    if not isinstance(connection, End):
        connection.begin(MemoryTransport())
    transport = connection.transport
    assert isinstance(transport, MemoryTransport)
    masked = not connection.masks
    one = FRAMES[kind](masked)
    begun = b"\x01" + frame(Op.TEXT, b"x", masked=masked)[1:] if "continuation" in kind else b""
    turns = Turns(monkeypatch)
    # As the loop's own transport does: 64 KiB at a time, and nothing while it is paused.
    data = begun + one * FLOOD
    at = paused = 0
    for _ in range(3000):
        if transport.paused:
            paused += 1
        elif not connection.is_ended and at < len(data):
            connection.data_received(data[at : at + 65536])
            at += 65536
        while isinstance(connection, Messages) and connection._queue:
            await connection.receive()
        await turns.next()
        if connection.is_ended or (kind in LASTING and turns.all >= PACE.frames and paused > 1000):
            break
    assert turns.most <= SLICE_FRAMES
    if kind in LASTING and not (kind == "one byte" and masked and isinstance(connection, Messages)):
        assert not connection.is_ended
        assert paused
        assert turns.all <= PACE.frames + 2 * SLICE_FRAMES
    else:
        assert connection.is_ended
        assert turns.all <= 3 * SLICE_FRAMES
        op, payload = frames_of(bytes(transport.written), masked=not masked)[-1]
        assert (op, payload[:2]) == (Op.CLOSE, (1008).to_bytes(2, "big"))
    transport.close()
    await connection.lost
