"""Peers made by hand against the gateway's WebSockets; after each of them a healthy one still works."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio
from yarl import URL

from gateway.sandboxes.agent_client import RELAY_MESSAGE_LIMIT
from gateway.web.streams.browser_connection import CLIENT_MESSAGE_LIMIT
from tests.gateway.stack import ENDLESS, Stack, assert_whole, text_of
from tests.rawpeer import Op, RawPeer, connect, dial, frame, handshake

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 60.0
"""Each peer's fate is sealed by then, on a busy machine too."""

LIMIT_IN_PIECES = [frame(Op.TEXT, b"x" * 65536, fin=False)] + [
    frame(Op.CONTINUATION, b"x" * 65536, fin=False) for _ in range(CLIENT_MESSAGE_LIMIT // 65536 + 1)
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(dynamodb_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack(dynamodb_endpoint, f"t{uuid4().hex}", tmp_path_factory.mktemp("sandboxes")) as stack:
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(stack: Stack) -> str:
    """One session whose sandbox is warm, for all."""
    return await stack.session()


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def healthy_one_works_after_it(stack: Stack, session: str) -> AsyncIterator[None]:
    yield
    async with asyncio.timeout(SECONDS):
        assert_whole(await stack.ask(session, "echo still well"))


def url(stack: Stack, session: str, **query: str) -> URL:
    return URL(stack.url).with_path("/api/sdk/ws").with_query({"sessionId": session, **query})


def start(prompt: str) -> bytes:
    return json.dumps({"type": "start", "prompt": prompt}).encode()


async def run_frames(peer: RawPeer) -> list[dict[str, object]]:
    """The frames of a run, up to the server's close frame with 1000."""
    frames = []
    while (came := await peer.read()).op != Op.CLOSE:
        if came.op == Op.TEXT:
            frames.append(json.loads(came.payload))
    assert came.close_code == 1000
    return frames


async def started_run(peer: RawPeer) -> str:
    """The id of the run whose first frame is waited for."""
    while (said := json.loads((await peer.read()).payload)).get("seq") != 1:
        pass
    return str(said["run"])


@pytest.mark.parametrize("pieces", [2, 1000])
async def test_a_start_frame_in_fragments(stack: Stack, session: str, pieces: int) -> None:
    message = start("echo in pieces " + "é" * 2000)
    size = len(message) // pieces + 1
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    async with asyncio.timeout(SECONDS), connect(url(stack, session), stack.headers()) as peer:
        for index, part in enumerate(parts):
            op = Op.CONTINUATION if index else Op.TEXT
            await peer.send(frame(op, part, fin=index == len(parts) - 1))
            if index == 0:
                await peer.send(frame(Op.PING, b"between fragments"))
        assert (await peer.read()).payload == b"between fragments"
        frames = await run_frames(peer)
    assert_whole(frames)
    assert text_of(frames) == "in pieces " + "é" * 2000


async def test_a_start_frame_a_byte_at_a_time(stack: Stack, session: str) -> None:
    async with asyncio.timeout(SECONDS), connect(url(stack, session), stack.headers()) as peer:
        for byte in frame(Op.TEXT, start("echo drop by drop")):
            await peer.send(bytes([byte]))
            await asyncio.sleep(0)
        assert text_of(await run_frames(peer)) == "drop by drop"


async def test_a_start_frame_in_one_segment_with_the_handshake(stack: Stack, session: str) -> None:
    async with asyncio.timeout(SECONDS), dial(url(stack, session)) as peer:
        await peer.send(
            handshake(url(stack, session), stack.headers()) + frame(Op.TEXT, start("echo at once"))
        )
        assert await peer.read_head() == 101
        assert text_of(await run_frames(peer)) == "at once"


@pytest.mark.parametrize(
    "pieces",
    [
        [frame(Op.TEXT, declared=CLIENT_MESSAGE_LIMIT + 1)],
        LIMIT_IN_PIECES,
        [frame(Op.TEXT, declared=2**62)],
        [frame(Op.TEXT, declared=2**63 - 1)],
    ],
    ids=["one frame", "fragments", "past any memory", "past any disk"],
)
async def test_a_message_beyond_the_limit_is_1009(stack: Stack, session: str, pieces: list[bytes]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with asyncio.timeout(SECONDS), connect(url(stack, session), stack.headers()) as peer:
        with contextlib.suppress(ConnectionError):  # It may be closed before all is sent.
            for piece in pieces:
                await peer.send(piece)
        assert await peer.read_close() == 1009
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


@pytest.mark.parametrize(
    "message",
    [
        frame(Op.TEXT, b"{"),
        frame(Op.TEXT, b"[]"),
        frame(Op.TEXT, b'{"type":"start","prompt":1}'),
        frame(Op.TEXT, b'{"type":"start","prompt":""}'),
        frame(Op.TEXT, b'{"type":"stop"}'),
        frame(Op.TEXT, b"[" * 100_000),
        frame(Op.BINARY, start("echo binary")),
    ],
    ids=["half", "list", "number", "empty", "stop first", "deep", "binary"],
)
async def test_a_first_message_that_is_no_start_is_4400(stack: Stack, session: str, message: bytes) -> None:
    before = await stack.get(f"/api/sessions/{session}/messages")
    async with asyncio.timeout(SECONDS), connect(url(stack, session), stack.headers()) as peer:
        await peer.send(message)
        error = json.loads((await peer.read()).payload)
        assert (error["type"], error["code"]) == ("error", "bad-request")
        assert await peer.read_close() == 4400
    assert await stack.get(f"/api/sessions/{session}/messages") == before


async def test_nonsense_during_a_run_is_told_and_the_run_goes_on(stack: Stack, session: str) -> None:
    asked = url(stack, session, prompt=ENDLESS)
    async with asyncio.timeout(SECONDS), connect(asked, stack.headers()) as peer:
        await peer.send(frame(Op.TEXT, b"nonsense") + frame(Op.BINARY, b"\xff") + frame(Op.PONG, b"unasked"))
        frames: list[dict[str, object]] = []
        while sum(said["type"] == "error" for said in frames) < 2 or frames[-1]["type"] != "text-delta":
            if (came := await peer.read()).op == Op.TEXT:
                frames.append(json.loads(came.payload))
        await peer.send(frame(Op.TEXT, b'{"type":"stop"}'))
        frames += await run_frames(peer)
    assert [frame["code"] for frame in frames if frame["type"] == "error"] == ["bad-request", "bad-request"]
    assert_whole(frames, "stopped")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (frame(Op.TEXT, start("echo unmasked"), masked=False), 1002),
        (frame(Op.PING, masked=False), 1002),
        (frame(Op.CLOSE, b"\x03\xe8", masked=False), 1002),
        (frame(0x3, b"reserved opcode"), 1002),
        (frame(Op.CONTINUATION, b"of nothing"), 1002),
        (frame(Op.PING, b"x" * 126), 1002),
        (frame(Op.PING, b"in pieces", fin=False), 1002),
        (frame(Op.CLOSE, b"\x03"), 1002),
        (frame(Op.CLOSE, b"\x03\xed"), 1002),
        (frame(Op.TEXT, b"\xc3\x28"), 1007),
        (bytes([0xF1]) + frame(Op.TEXT, b"reserved bits")[1:], 1002),
    ],
    ids=[
        "unmasked",
        "unmasked ping",
        "unmasked close",
        "opcode",
        "continuation",
        "long ping",
        "ping in pieces",
        "half a code",
        "code 1005",
        "utf-8",
        "bits",
    ],
)
async def test_a_violation_closes_with_its_code(
    stack: Stack, session: str, message: bytes, code: int
) -> None:
    async with asyncio.timeout(SECONDS), connect(url(stack, session), stack.headers()) as peer:
        await peer.send(message)
        assert await peer.read_close() == code
    async with asyncio.timeout(SECONDS), dial(url(stack, session)) as peer:
        await peer.send(handshake(url(stack, session), stack.headers()) + message)  # in one segment
        assert await peer.read_head() == 101
        assert await peer.read_close() == code


async def test_a_relay_message_beyond_the_limit_is_1009(stack: Stack, session: str) -> None:
    relay = URL(stack.url).with_path("/relay").with_query(sessionId=session)
    async with asyncio.timeout(SECONDS), connect(relay, stack.headers()) as peer:
        await peer.send(frame(Op.BINARY, declared=RELAY_MESSAGE_LIMIT + 1))
        assert await peer.read_close() == 1009


async def test_a_half_closed_browser_ends_its_leg_and_not_the_run(stack: Stack, session: str) -> None:
    asked = url(stack, session, prompt="count to 30 (every 20 ms)")
    async with asyncio.timeout(SECONDS), connect(asked, stack.headers()) as peer:
        run = await started_run(peer)
        peer.writer.write_eof()
        await peer.read_close()
    assert await stack.final(session, run) == "completed"


async def test_a_browser_that_breaks_off_within_a_frame_does_not_end_the_run(
    stack: Stack, session: str
) -> None:
    asked = url(stack, session, prompt="count to 30 (every 20 ms)")
    async with asyncio.timeout(SECONDS), connect(asked, stack.headers()) as peer:
        run = await started_run(peer)
        await peer.send(frame(Op.TEXT, b"some of", declared=5000))
    assert await stack.final(session, run) == "completed"


async def test_a_hundred_handshakes_that_never_end_hold_up_nobody(stack: Stack, session: str) -> None:
    asked = url(stack, session)
    head = handshake(asked, stack.headers())
    async with asyncio.timeout(SECONDS), contextlib.AsyncExitStack() as slow:
        peers = [await slow.enter_async_context(dial(asked)) for _ in range(100)]
        for byte in head[:20]:
            for peer in peers:
                await peer.send(bytes([byte]))
        assert_whole(await stack.ask(session, "echo meanwhile"))
        await peers[0].send(head[20:] + frame(Op.TEXT, start("echo after all")))
        assert await peers[0].read_head() == 101
        assert text_of(await run_frames(peers[0])) == "after all"
