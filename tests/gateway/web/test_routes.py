"""Every row of the route table, held to its auth and owner rule: refused means refused, and nothing is changed."""

from __future__ import annotations

import asyncio
import base64
import io
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from yarl import URL

from gateway.web.persist import MAX_BODY_BYTES as MAX_PERSIST_BYTES
from gateway.web.request.app_keys import DRIVER
from gateway.web.request.auth import mint
from gateway.web.request.bodies import MAX_BODY_BYTES
from gateway.web.routes import RELAY, ROUTES, WS_PATHS, Auth, Owner, Route
from tests.gateway.stack import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.gateway.stack import Stack

    Scan = Callable[[], list[dict[str, Any]]]

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(),
}

BODIES: dict[str, dict[str, Any]] = {
    "/api/sdk/ticket": {},
    "/api/sdk/stream": {"prompt": "hello"},
    "/api/sdk/persist": {"content": "hello"},
    "/api/sdk/stop": {},
    "/api/sdk/pause": {},
    "/api/sdk/resume": {},
    "/api/sessions": {"title": "x"},
    "/api/sessions/{session}": {"title": "x"},
    "/api/sessions/{session}/terminals": {},
    "/api/sessions/{session}/egress": {"host": "example.com"},
    "/api/sessions/{session}/files": {"folder": "x"},
    "/api/settings": {"mcpServers": {}},
}
"""A good body for each route that takes one, but for its sessionId."""

ALL = (*ROUTES, RELAY)
GUARDED = [route for route in ALL if route.auth is not Auth.NONE]
OWNED = [route for route in ALL if route.owner in (Owner.PATH, Owner.QUERY, Owner.BODY)]
RAW = ("/api/sessions/{session}/file", "/api/sessions/{session}/upload")
"""Their bodies are contents, or none."""
WITH_BODY = [route for route in ROUTES if route.method in ("POST", "PUT", "PATCH") and route.path not in RAW]


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


def forged() -> dict[str, str]:
    claims = {"sub": "ada", "aud": "vaporforge", "exp": int(time.time()) + 600}
    return {
        "malformed": "x.y.z",
        "expired": mint("ada", -600, secret=SECRET),
        "other secret": mint("ada", 600, secret="o" * 48),
        "other audience": mint("ada", 600, secret=SECRET, audience="elsewhere"),
        "other algorithm": jwt.encode(claims, SECRET * 2, algorithm="HS512"),
        "no algorithm": jwt.encode(claims, "", algorithm="none"),
    }


class Caller:
    """Asks one route as somebody, about some session."""

    def __init__(self, stack: Stack, route: Route) -> None:
        self.stack = stack
        self.route = route

    async def ask(
        self,
        session: Any = None,
        *,
        user: str | None = "ada",
        token: str | None = None,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
        path: str | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """(the status, the error's JSON); `token` wins over `user`, `raw` over the good body."""
        route = self.route
        where = path or (route.path if route is not RELAY else "/mcp/relay")
        sent = dict(headers or {})
        token = token or (mint(user, 600, secret=SECRET) if user else None)
        if token:
            sent["Authorization"] = f"Bearer {token}"
        query: dict[str, str] = {}
        body: dict[str, Any] | None = dict(BODIES.get(route.path, {})) if route in WITH_BODY else None
        if route.owner is Owner.PATH:
            where = where.replace("{session}", str(session)).replace("{host}", "example.com")
            where = where.replace("{terminal}", "t1")
        elif route.owner is Owner.QUERY and session is not None:
            query["sessionId"] = str(session)
        elif route.owner is Owner.BODY and session is not None and body is not None:
            body["sessionId"] = session
        if route.auth is Auth.WEBSOCKET:
            sent |= UPGRADE
            query["prompt"] = "hello"
        if route.path.startswith("/api/sdk/replay"):
            query["run"] = "unknown"
        payload: dict[str, Any] = {"json": body} if raw is None else {"data": io.BytesIO(raw)}
        url = self.stack.url + where
        async with self.stack.http.request(
            route.method, url, params=query, headers=sent, **payload
        ) as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert (response.status == 401) == ("WWW-Authenticate" in response.headers)
            return response.status, await response.json()


async def untouched(stack: Stack, scan: Scan, before: list[dict[str, Any]]) -> None:
    assert await asyncio.to_thread(scan) == before
    assert list(await stack.gateways[0].app[DRIVER].list()) == []


def test_the_table_is_all_there_is(stack: Stack) -> None:
    routed = {
        (route.method, route.resource.canonical)
        for route in stack.gateways[0].app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert len(ROUTES) == len({(route.method, route.path) for route in ROUTES}) == len(routed)
    stated = {(route.method, route.path) for route in ROUTES if "{file" not in route.path}
    assert stated <= routed
    assert routed - stated == {("GET", "/{file}")}


@pytest.mark.parametrize("route", ALL, ids=name_of)
def test_each_route_states_its_rules(route: Route) -> None:
    assert isinstance(route.auth, Auth)
    assert isinstance(route.owner, Owner)
    assert (route.auth is Auth.NONE) == (route.owner is Owner.NONE)
    assert (route.owner is Owner.PATH) == ("{session}" in route.path)
    assert (route.handler.__doc__ or "").strip()


@pytest.mark.parametrize("route", GUARDED, ids=name_of)
async def test_nobody_gets_in_without_a_good_token(stack: Stack, scan: Scan, route: Route) -> None:
    session = await stack.session()
    before = await asyncio.to_thread(scan)
    caller = Caller(stack, route)
    for name, token in {"none": "", **forged()}.items():
        status, body = await caller.ask(session, user=None, token=token)
        assert (status, body["code"]) == (401, "unauthorized"), name
        assert not token or token not in body["error"]
    await untouched(stack, scan, before)


@pytest.mark.parametrize("route", OWNED, ids=name_of)
async def test_a_session_is_its_owner_s_alone(stack: Stack, scan: Scan, route: Route) -> None:
    session = await stack.session("ada")
    before = await asyncio.to_thread(scan)
    caller = Caller(stack, route)
    status, body = await caller.ask(session, user="eve")
    assert (status, body["code"]) == (403, "not-owner")
    status, body = await caller.ask("unknown", user="ada")
    assert (status, body["code"]) == (404, "session-not-found")
    for malformed in ("a b", "x" * 65, "s;1"):
        status, body = await caller.ask(malformed)
        assert (status, body["code"], body["field"]) == (400, "bad-request", "sessionId"), malformed
    await untouched(stack, scan, before)


NAMED = [route for route in OWNED if route.owner is not Owner.PATH and route.path != "/api/sdk/ticket"]
"""Routes that must be told a session; a ticket without one fits them all."""


@pytest.mark.parametrize("route", NAMED, ids=name_of)
async def test_a_missing_session_is_said(stack: Stack, route: Route) -> None:
    status, body = await Caller(stack, route).ask(None)
    assert (status, body) == (
        400,
        {"error": "Missing sessionId", "code": "bad-request", "field": "sessionId"},
    )


@pytest.mark.parametrize("route", [route for route in OWNED if route.owner is Owner.BODY], ids=name_of)
@pytest.mark.parametrize("value", [7, ["x"], {"a": 1}, True], ids=repr)
async def test_a_session_that_is_no_string_is_refused(stack: Stack, route: Route, value: Any) -> None:
    status, body = await Caller(stack, route).ask(value)
    assert (status, body["field"]) == (400, "sessionId")


@pytest.mark.parametrize("route", WITH_BODY, ids=name_of)
async def test_bad_bodies_are_refused(stack: Stack, scan: Scan, route: Route) -> None:
    session = await stack.session()
    before = await asyncio.to_thread(scan)
    caller = Caller(stack, route)
    for raw in (b"{", b"[]", b'"x"', b"null", b'{"a":NaN}', b'{"a":"\xff"}', b"a=b&c=d", b"[" * 10_000):
        status, body = await caller.ask(session, raw=raw)
        assert (status, body["code"]) == (400, "bad-request"), raw[:20]
    limit = MAX_PERSIST_BYTES if route.path == "/api/sdk/persist" else MAX_BODY_BYTES
    status, body = await caller.ask(session, raw=b'{"a":"' + b"x" * limit + b'"}')
    assert (status, body["code"]) == (413, "payload-too-large")
    await untouched(stack, scan, before)


async def test_an_oversized_body_of_unknown_length_is_cut_short(stack: Stack) -> None:
    url = URL(stack.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = {"Host": f"{url.host}:{url.port}", "Transfer-Encoding": "chunked", **stack.headers()}
    lines = ["POST /api/sessions HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    size = MAX_BODY_BYTES + 1
    writer.write("\r\n".join(lines).encode() + b"%x\r\n" % size + b" " * size)
    # The answer comes although the body has not ended.
    assert (await reader.readline()).split()[1] == b"413"
    writer.write(b"\r\n0\r\n\r\n")
    await writer.drain()
    writer.close()
    await writer.wait_closed()


class TestUpgrades:
    @pytest.mark.parametrize(
        "path", ["/", "/mcp", "/a/b/c", "/api", "/api/sessions", "/api/sdk/stop", "/client.js"]
    )
    async def test_any_other_websocket_is_the_relay(self, stack: Stack, path: str) -> None:
        caller = Caller(stack, RELAY)
        status, body = await caller.ask(None, path=path)
        assert (status, body["error"]) == (400, "Missing sessionId")
        session = await stack.session()
        assert (await caller.ask(session, path=path, user=None))[0] == 401
        assert (await caller.ask(session, path=path, user="eve"))[0] == 403

    @pytest.mark.parametrize("route", [route for route in ALL if route.auth is Auth.WEBSOCKET], ids=name_of)
    async def test_pages_of_other_sites_are_refused(self, stack: Stack, scan: Scan, route: Route) -> None:
        session = await stack.session()
        before = await asyncio.to_thread(scan)
        status, body = await Caller(stack, route).ask(session, headers={"Origin": "https://evil.example"})
        assert (status, body["code"]) == (403, "origin-refused")
        await untouched(stack, scan, before)

    @pytest.mark.parametrize("route", [route for route in ALL if route.auth is Auth.WEBSOCKET], ids=name_of)
    @pytest.mark.parametrize(
        "change",
        [
            {"Sec-WebSocket-Key": ""},
            {"Sec-WebSocket-Key": "short"},
            {"Sec-WebSocket-Version": "12"},
            {"Connection": "close"},
        ],
        ids=str,
    )
    async def test_a_handshake_that_is_none_starts_nothing_and_uses_no_ticket(
        self, stack: Stack, scan: Scan, route: Route, change: dict[str, str]
    ) -> None:
        session = await stack.session()
        _, answer = await stack.post("/api/sdk/ticket", {"sessionId": session})
        before = await asyncio.to_thread(scan)
        path = route.path if route is not RELAY else "/mcp/relay"
        query = {"sessionId": session, "prompt": "echo x", "ticket": answer["ticket"]}
        async with stack.http.get(stack.url + path, params=query, headers={**UPGRADE, **change}) as response:
            assert (response.status, (await response.json())["code"]) == (400, "bad-request")
        await untouched(stack, scan, before)

    @pytest.mark.parametrize("route", [route for route in ALL if route.auth is Auth.WEBSOCKET], ids=name_of)
    async def test_a_gateway_that_drains_leaves_the_ticket_to_another(
        self, stack: Stack, scan: Scan, route: Route
    ) -> None:
        other = await stack.add()
        session = await stack.session()
        _, answer = await stack.post("/api/sdk/ticket", {"sessionId": session})
        before = await asyncio.to_thread(scan)
        await stack.gateways[0].runs.drain()
        path = route.path if route is not RELAY else "/mcp/relay"
        query = {"sessionId": session, "ticket": answer["ticket"], "terminal": "t1"}
        async with stack.http.get(stack.url + path, params=query, headers=UPGRADE) as response:
            assert (response.status, (await response.json())["code"]) == (503, "draining")
        await untouched(stack, scan, before)
        async with stack.http.ws_connect(other.url + path, params=query):
            pass

    async def test_the_stream_s_address_is_for_websockets(self, stack: Stack) -> None:
        session = await stack.session()
        url = f"{stack.url}/api/sdk/ws?sessionId={session}"
        async with stack.http.get(url, headers=stack.headers()) as response:
            assert response.status == 400
            assert "WebSocket" in (await response.json())["error"]

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ({"prompt": " "}, "prompt"),
            ({"prompt": "x" * 100_001}, "prompt"),
            ({"prompt": "x", "cwd": "/etc"}, "cwd"),
            ({"prompt": "x", "mode": "yolo"}, "mode"),
            ({"prompt": "x", "onBusy": "wait"}, "onBusy"),
            ({"prompt": "x", "messageId": "a b"}, "messageId"),
            ({"run": "a b"}, "run"),
            ({"run": "unknown", "after": "-1"}, "after"),
        ],
        ids=lambda value: str(value)[:40],
    )
    async def test_bad_fields_are_refused_before_the_upgrade(
        self, stack: Stack, scan: Scan, query: dict[str, str], field: str
    ) -> None:
        session = await stack.session()
        before = await asyncio.to_thread(scan)
        headers = {**UPGRADE, **stack.headers()}
        url = f"{stack.url}/api/sdk/ws"
        async with stack.http.get(url, params={"sessionId": session, **query}, headers=headers) as response:
            body = await response.json()
            assert (response.status, body["code"], body["field"]) == (400, "bad-request", field)
        await untouched(stack, scan, before)


class TestElsewhere:
    async def test_unknown_paths(self, stack: Stack) -> None:
        for path, kind in (
            ("/api/nothing", "application/json"),
            ("/api", "application/json"),
            ("/x", "text/html"),
        ):
            async with stack.http.get(stack.url + path) as response:
                assert (response.status, response.content_type) == (404, kind)
        async with stack.http.get(stack.url + "/apis.txt") as response:
            assert (response.status, response.content_type) == (404, "text/html")

    async def test_a_wrong_method_names_the_right_one(self, stack: Stack) -> None:
        async with stack.http.get(stack.url + "/api/sdk/stop") as response:
            assert (response.status, response.headers["Allow"]) == (405, "POST")
            assert (await response.json())["code"] == "bad-request"


@pytest.mark.parametrize("header", ["Sec-WebSocket-Key", "Sec-WebSocket-Version", "Connection"])
@pytest.mark.parametrize("path", [*sorted(WS_PATHS), "/relay"])
async def test_a_handshake_with_bytes_that_are_no_text_is_none(stack: Stack, path: str, header: str) -> None:
    lines = UPGRADE | {"Host": URL(stack.url).authority, header: "\xff"}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    reader, writer = await asyncio.open_connection(URL(stack.url).host, URL(stack.url).port)
    writer.write(f"GET {path}?sessionId=x HTTP/1.1\r\n{head}\r\n".encode("latin-1"))
    status = (await reader.readline()).split()[1]
    writer.close()
    await writer.wait_closed()
    assert status == b"400"
