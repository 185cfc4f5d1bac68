"""Bytes from strangers at the gateway's two listeners: what is odd is a 4xx, what is packed is not unpacked."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from container.protocol import sandbox_token
from gateway.broker.model_api import build_broker
from gateway.ids import new_id
from gateway.serve import broker_listener
from gateway.web.request.app_keys import CLIENT, DRIVER, STATS, STORE
from gateway.web.request.auth import mint
from tests.gateway.stack import SECRET, Stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SECONDS = 30.0
TOKEN = mint("ada", 600, secret=SECRET).encode()
SANDBOX = sandbox_token(SECRET.encode(), "s1").encode()
UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


async def say(port: int, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in lower case and what comes of the body, of a connection's first answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(SECONDS):
            writer.write(data)
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        return int(first.split(" ", 2)[1]), headers, body
    finally:
        writer.transport.abort()


@pytest.fixture
async def broker(stack: Stack) -> AsyncIterator[int]:
    """The port of the broker beside the stack's gateway."""
    app, settings = stack.gateways[0].app, stack.settings
    turned_away = app[STATS].turned_away
    forward = build_broker(settings, app[STORE], app[CLIENT], turned_away, look=app[DRIVER].status)
    async with AsyncExitStack() as exit_stack:
        listener = broker_listener(settings, forward, turned_away)
        exit_stack.push_async_callback(listener.cleanup)
        await listener.setup()
        await web.TCPSite(listener, "127.0.0.1", 0).start()
        yield int(listener.addresses[0][1])


@pytest.fixture
def public(stack: Stack) -> int:
    return int(stack.url.rpartition(":")[2])


def post(path: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(line + b"\r\n" for line in headers)
    return b"POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s" % (path, lines, len(body), body)


def get(path: bytes, *headers: bytes) -> bytes:
    return b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (path, b"".join(line + b"\r\n" for line in headers))


async def test_a_packed_body_is_refused_before_anybody_is_asked_for(public: int, broker: int) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    for port, path in ((public, b"/api/sdk/ticket"), (broker, b"/v1/messages")):
        status, headers, body = await say(port, post(path, bomb, b"Content-Encoding: gzip"))
        assert status == 415
        assert "Content-Encoding" in body.decode()
        assert headers["content-type"].startswith("application/json")


BEARER = b"Authorization: Bearer "
ODD = {
    "a byte in the bearer": (401, get(b"/api/sessions", BEARER + b"a\xff.b.c")),
    "a byte in the token's middle": (401, get(b"/api/sessions", BEARER + TOKEN[:-1] + b"\xe9")),
    "UTF-8 in the bearer": (401, get(b"/api/sessions", BEARER + "é.é.é".encode())),
    "a byte in a subprotocol": (
        401,
        get(b"/api/sdk/ws?sessionId=s", UPGRADE.rstrip(), b"Sec-WebSocket-Protocol: vaporforge, a\xff"),
    ),
    "a byte in a ticket": (401, get(b"/api/sdk/ws?sessionId=s&ticket=%ff", UPGRADE.rstrip())),
    "a byte in a token": (401, get(b"/api/sdk/ws?sessionId=s&token=%ff", UPGRADE.rstrip())),
    "a byte in the Origin": (403, get(b"/api/sdk/ws?sessionId=s", UPGRADE.rstrip(), b"Origin: http://\xff")),
    "half an address in the Origin": (403, get(b"/x?sessionId=s", UPGRADE.rstrip(), b"Origin: http://[")),
    "a long file name": (404, get(b"/" + b"a" * 300 + b".js")),
    "a long folder name": (404, get(b"/" + b"a" * 5000 + b"/a.js")),
    "NUL in a file name": (404, get(b"/a%00.js")),
    "bytes in a file name": (404, get(b"/%ff%fe.js")),
    "half a surrogate in a file name": (404, get(b"/%ed%a0%80.js")),
    "raw bytes in a path": (400, get(b"/\xff\xfe.js")),
    "raw bytes in an API path": (400, get(b"/api/\xff\xfe")),
    "raw UTF-8 in an API path": (400, get("/api/é".encode())),
    "bytes in an API path": (404, get(b"/api/%ff%ed%a0%80")),
    "bytes in a query": (200, get(b"/api/version?a=%ff&b=%ed%a0%80")),
    "bytes in a cookie": (200, get(b"/api/version", b"Cookie: a=\xff; \xff=b; $=")),
    "bytes in a tag": (200, get(b"/", b"If-None-Match: \xff, W/\xff")),
    "an odd type": (400, post(b"/api/sessions", b"\xff", BEARER + TOKEN, b"Content-Type: a/b; charset=\xff")),
    "bytes in a session's id": (400, get(b"/api/sessions/%ff", BEARER + TOKEN)),
    "a surrogate in a session's id": (400, get(b"/api/sessions/%ed%a0%80", BEARER + TOKEN)),
    "Unicode digits in a limit": (400, get("/api/sessions?limit=٣".encode(), BEARER + TOKEN)),
    "bytes in a cursor": (400, get(b"/api/sessions?cursor=%ff%00", BEARER + TOKEN)),
    "a long cursor": (400, get(b"/api/sessions?cursor=" + b"a" * 5000, BEARER + TOKEN)),
    "JSON in a cursor": (400, get(b"/api/sessions?cursor=W10", BEARER + TOKEN)),
    "a half surrogate in a title": (
        201,
        post(b"/api/sessions", rb'{"title":"\ud800"}', BEARER + TOKEN),
    ),
    "no UTF-8 in a title": (400, post(b"/api/sessions", b'{"title":"\xff"}', BEARER + TOKEN)),
    "a broken chunk": (
        400,
        b"POST /api/sessions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + BEARER + TOKEN + b"\r\n\r\nzz\r\n",
    ),
    "an odd cursor of events": (
        404,
        post(b"/api/sdk/stream", b'{"sessionId":"s"}', BEARER + TOKEN, b"Last-Event-ID: \xff:\xff"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
async def test_odd_bytes_are_a_4xx_and_no_traceback(
    public: int, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    expected, data = ODD[name]
    status, headers, body = await say(public, data)
    assert (status, headers["x-content-type-options"]) == (expected, "nosniff"), body
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    "data",
    [
        post(b"/v1/messages", b"{}", BEARER + b"a\xff"),
        post(b"/v1/messages", b"{}", b"x-api-key: vfs1.s1.\xff"),
        post(b"/v1/messages", b"{}", b"x-api-key: vfs1.\xff.a"),
    ],
)
async def test_odd_bytes_at_the_broker(broker: int, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    status, _, body = await say(broker, data)
    assert (status, json.loads(body)["error"]["type"]) == (401, "authentication_error")
    assert not [record for record in caplog.records if record.exc_info]


async def test_half_a_request_line_is_short_at_the_broker(broker: int) -> None:
    status, _, _ = await say(broker, b"GET /" + b"a" * 20_000)
    assert status == 400


@pytest.mark.parametrize("listener", ["public", "broker"])
async def test_a_token_in_a_malformed_request_is_not_logged(
    listener: str, request: pytest.FixtureRequest, public: int, broker: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    port = {"public": public, "broker": broker}[listener]
    status, _, body = await say(port, get(b"/api/sessions", BEARER + TOKEN + b"\0"))
    assert status == 400
    assert TOKEN not in body
    assert not any(TOKEN.decode() in record.getMessage() for record in caplog.records)
    assert not [record for record in caplog.records if record.exc_info]


async def test_what_is_turned_away_is_counted(public: int, stack: Stack) -> None:
    await say(public, b"nonsense\r\n\r\n")
    await say(public, post(b"/api/sdk/ticket", b"x", b"Content-Encoding: br"))
    body = await stack.get("/api/health")
    assert body["turnedAway"] == {"malformed": 1, "encoded": 1}


@pytest.fixture
async def narrow(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A gateway whose users have two live connections each."""
    async with Stack(
        dynamodb_endpoint, f"test-{new_id()}", tmp_path, user_connections=2, proxy_secret="p" * 32
    ) as stack:
        yield stack


async def test_a_user_has_so_many_live_connections(narrow: Stack) -> None:
    session = await narrow.session()
    async with narrow.connect(session), narrow.connect(session):
        port = int(narrow.url.rpartition(":")[2])
        target = f"/api/sdk/ws?sessionId={session}".encode()
        status, headers, body = await say(port, get(target, UPGRADE.rstrip(), BEARER + TOKEN))
        assert (status, json.loads(body)["code"], headers["retry-after"]) == (
            429,
            "too-many-connections",
            "1",
        )
        request = json.dumps({"sessionId": session, "prompt": "hi"}).encode()
        status, _, body = await say(port, post(b"/api/sdk/stream", request, BEARER + TOKEN))
        assert (status, json.loads(body)["code"]) == (429, "too-many-connections")
        other = await narrow.session("bob")
        async with narrow.connect(other, user="bob"):
            pass
    async with narrow.connect(session):  # the places are given back
        pass
    assert (await narrow.get("/api/health"))["turnedAway"] == {"user": 2}


@pytest.mark.parametrize(
    ("secret", "told", "logged"),
    [
        ("p" * 32, "203.0.113.9", "203.0.113.9"),
        ("p" * 32, "6.6.6.6, 2001:db8::1", "2001:db8::1"),
        ("p" * 32, "swordfish", "127.0.0.1"),
        ("q" * 32, "203.0.113.9", "127.0.0.1"),
        ("", "203.0.113.9", "127.0.0.1"),
        ("é", "203.0.113.9", "127.0.0.1"),
    ],
)
async def test_a_clients_address_is_believed_of_the_proxy_alone(
    narrow: Stack, secret: str, told: str, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    port = int(narrow.url.rpartition(":")[2])
    headers = (f"X-Forwarded-For: {told}".encode(), f"X-VaporForge-Proxy: {secret}".encode())
    assert (await say(port, get(b"/api/version", *headers)))[0] == 200
    [line] = [record.getMessage() for record in caplog.records if "/api/version" in record.getMessage()]
    assert line.startswith(f"{logged} GET ")


@pytest.mark.parametrize(("secret", "status"), [("p" * 32, 200), ("q" * 32, 429)])
async def test_the_proxys_check_makes_room_for_its_clients(
    dynamodb_endpoint: str, tmp_path: Path, secret: str, status: int
) -> None:
    changes = {"proxy_secret": "p" * 32, "address_connections": 2}
    async with Stack(dynamodb_endpoint, f"test-{new_id()}", tmp_path, **changes) as stack:
        port = int(stack.url.rpartition(":")[2])
        check = get(b"/api/ready", f"X-VaporForge-Proxy: {secret}".encode(), b"Connection: close")
        assert (await say(port, check))[0] == 200
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]  # none says yet who it is
        assert (await say(port, get(b"/api/version")))[0] == status
        for _, writer in held:
            writer.close()


async def test_a_secret_that_is_not_set_lets_nobody_speak_for_others(
    stack: Stack, public: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await say(public, get(b"/api/version", b"X-Forwarded-For: 6.6.6.6", b"X-VaporForge-Proxy: "))
    assert not any("6.6.6.6" in record.getMessage() for record in caplog.records)
