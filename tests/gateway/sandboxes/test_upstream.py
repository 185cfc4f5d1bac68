"""The handshake with an agent server: a good one begins the connection, anything else is an error in bounded time."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.errors import BadRequest, Conflict, CursorAhead, RunNotFound, SandboxRetiring, SandboxUnavailable
from gateway.sandboxes import upstream
from gateway.sandboxes.agent_client import AgentClient, sandbox_client
from gateway.sandboxes.drivers import Sandbox, SandboxState
from gateway.sandboxes.upstream import HEAD_LIMIT, HandshakeError, Refused, dial
from gateway.websocket.frames import Op, close_frame, frame
from gateway.websocket.messages import Messages
from gateway.websocket.pace import Pace
from tests.hostile import taken_as_known
from tests.listening import listening

GOOD = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n"
    "Sec-WebSocket-Accept: {}\r\n"
)


def accept(head: bytes) -> str:
    key = re.search(rb"\r\nSec-WebSocket-Key: (\S+)", head)
    assert key
    digest = hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return base64.b64encode(digest).decode()


@asynccontextmanager
async def answering(
    say: Callable[[bytes], bytes], *, piece: int = 2**20
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers each head with what `say` says of it, in pieces: its port, and the heads."""
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        answer = say(heads[-1])
        for at in range(0, len(answer), piece):
            writer.write(answer[at : at + piece])
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    async with listening(talk) as port:
        yield port, heads


def connection() -> Messages:
    return Messages(server=False, limit=2**20, pace=Pace(), name="upstream")


@pytest.mark.parametrize("piece", [1, 7, 2**20])
async def test_what_comes_right_behind_a_good_answer_is_read(piece: int) -> None:
    def say(head: bytes) -> bytes:
        early = frame(Op.TEXT, b"early", masked=False) + close_frame(1000, masked=False)
        return (GOOD.format(accept(head)) + "\r\n").encode() + early

    async with answering(say, piece=piece) as (port, heads):
        one = connection()
        await dial(one, "127.0.0.1", port, "/ws?run=r", {"Authorization": "Bearer secret"})
        assert [message async for message in one] == [b"early"]
        assert one.close_code == 1000
        await one.close()
    assert heads[0].startswith(b"GET /ws?run=r HTTP/1.1\r\n")
    assert b"\r\nHost: 127.0.0.1:%d\r\n" % port in heads[0]
    assert b"\r\nAuthorization: Bearer secret\r\n" in heads[0]
    assert b"extensions" not in heads[0].lower()


BAD: dict[str, Callable[[bytes], bytes]] = {
    "no HTTP": lambda head: b"\x00\xff\r\n\r\n",
    "another accept": lambda head: (GOOD.format("bm90IGl0") + "\r\n").encode(),
    "no upgrade": lambda head: (GOOD.format(accept(head)) + "\r\n").replace("WebSocket\r", "h2c\r").encode(),
    "an extension": lambda head: (
        GOOD.format(accept(head)) + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    ).encode(),
    "a subprotocol": lambda head: (GOOD.format(accept(head)) + "Sec-WebSocket-Protocol: x\r\n\r\n").encode(),
    "a head without end": lambda head: GOOD.format(accept(head)).encode() + b"X: y\r\n" * HEAD_LIMIT,
    "a line without end": lambda head: b"HTTP/1.1 101 " + b"x" * 2 * HEAD_LIMIT,
}


@pytest.mark.parametrize("say", BAD.values(), ids=BAD.keys())
async def test_a_bad_answer_is_no_handshake(say: Callable[[bytes], bytes]) -> None:
    async with answering(say) as (port, _):
        with pytest.raises(HandshakeError):
            await dial(connection(), "127.0.0.1", port, "/ws", {})


async def test_one_that_never_answers_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "HANDSHAKE_SECONDS", 0.1)
    async with answering(lambda head: b"HTTP/1.1 101 Sw") as (port, _):
        with pytest.raises(TimeoutError):
            await dial(connection(), "127.0.0.1", port, "/ws", {})


async def test_one_that_ends_is_no_handshake() -> None:
    async def gone(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with listening(gone) as port:
        with pytest.raises(OSError):
            await dial(connection(), "127.0.0.1", port, "/ws", {})


def refusal(status: str, body: bytes, length: bool = True) -> bytes:
    size = f"Content-Length: {len(body)}\r\n" if length else ""
    return f"HTTP/1.1 {status}\r\n{size}Location: http://elsewhere/\r\n\r\n".encode() + body


async def test_a_dial_that_is_given_up_while_it_connects_leaves_no_error_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As uvloop ends a connection whose dial is cancelled: the protocol is told, and nobody awaits its answer."""

    async def connect(make: Callable[[], asyncio.Protocol], *_: object) -> None:
        make().connection_lost(None)
        raise TimeoutError

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", connect)
    messages = Messages(server=False, limit=1000, pace=Pace(), name="upstream")
    with pytest.raises(TimeoutError):
        await dial(messages, "127.0.0.1", 1, "/", {})
    gc.collect()
    assert not caplog.records


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusal("404 Not Found", b"{}"), RunNotFound),
        (refusal("416 Range", b"{}"), CursorAhead),
        (refusal("409 Conflict", b"{}"), Conflict),
        (refusal("400 Bad", b'{"error":"field"}'), BadRequest),
        (refusal("503 Away", b'{"code":"retiring"}'), SandboxRetiring),
        (refusal("503 Away", b"{}"), SandboxUnavailable),
        (refusal("302 Found", b""), SandboxUnavailable),
        (refusal("200 OK", b"x"), SandboxUnavailable),
    ],
)
async def test_another_status_is_the_error_that_it_means(answer: bytes, error: type[Exception]) -> None:
    with taken_as_known():
        await _refused(answer, error)


async def _refused(answer: bytes, error: type[Exception]) -> None:
    async with answering(lambda head: answer) as (port, _), sandbox_client() as client:
        sandbox = Sandbox(session="s", state=SandboxState.RUNNING, host="127.0.0.1", port=port)
        with pytest.raises(error) as caught:
            await AgentClient(client, "x" * 32).attach(sandbox, "r", after=0, batch=True)
    assert type(caught.value) is error


async def test_the_body_of_a_refusal_is_read_in_part() -> None:
    async with answering(lambda head: refusal("500 No", b"x" * 2**20, length=False)) as (port, _):
        with pytest.raises(Refused) as caught:
            await dial(connection(), "127.0.0.1", port, "/ws", {})
    assert (caught.value.status, len(caught.value.body)) == (500, upstream.BODY_LIMIT)
