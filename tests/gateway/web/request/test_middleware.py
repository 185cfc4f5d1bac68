"""Around every request: the JSON of errors, the headers of every response, and a log without secrets."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NoReturn

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.errors import BadRequest, SessionGone, Unauthorized
from gateway.web.request import middleware
from gateway.web.request.middleware import SECURITY_HEADERS, AccessLogger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Client = TestClient[web.Request, web.Application]


async def ok(_request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def bad(_request: web.Request) -> NoReturn:
    raise BadRequest("title must be a string", field="title")


async def gone(_request: web.Request) -> NoReturn:
    raise SessionGone("The session is being deleted")


async def unknown(_request: web.Request) -> NoReturn:
    raise Unauthorized("No token")


async def bug(_request: web.Request) -> NoReturn:
    raise RuntimeError("the secret is swordfish")


async def upstream(_request: web.Request) -> NoReturn:
    raise ConnectionResetError("the table's connection broke")


async def started(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    await response.write(b"half of ")
    raise {"bug": RuntimeError("broke off"), "ours": BadRequest("broke off")}[request.query["kind"]]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    app = web.Application(middlewares=[middleware.errors])
    app.on_response_prepare.append(middleware.add_headers)
    for handler in (ok, bad, gone, unknown, bug, upstream, started):
        app.router.add_get(f"/api/{handler.__name__}", handler)
    app.router.add_get("/page", ok)
    server = TestServer(app)
    await server.start_server(access_log_class=AccessLogger)
    async with TestClient(server) as client:
        yield client


async def answer(client: Client, path: str) -> tuple[int, Any]:
    response = await client.get(path)
    return response.status, await response.json()


async def test_our_errors_are_their_body_and_status(client: Client) -> None:
    assert await answer(client, "/api/bad") == (
        400,
        {"error": "title must be a string", "code": "bad-request", "field": "title"},
    )
    assert await answer(client, "/api/gone") == (
        410,
        {"error": "The session is being deleted", "code": "session-gone"},
    )


async def test_a_401_says_which_scheme(client: Client) -> None:
    response = await client.get("/api/unknown")
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("path", ["/api/bug", "/api/upstream"])
async def test_the_unexpected_is_logged_under_a_number_and_not_told(
    client: Client, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    response = await client.get(path)
    body = await response.json()
    assert (response.status, body["code"]) == (500, "internal")
    assert "swordfish" not in body["error"]
    number = response.headers["X-Request-Id"]
    assert number in body["error"]
    [record] = [record for record in caplog.records if number in record.getMessage()]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None


@pytest.mark.parametrize("kind", ["bug", "ours"])
async def test_a_response_that_has_begun_never_looks_whole(client: Client, kind: str) -> None:
    response = await client.get(f"/api/started?kind={kind}")
    assert response.status == 200
    with pytest.raises(aiohttp.ClientPayloadError):
        await response.read()


@pytest.mark.parametrize("path", ["/api/ok", "/page", "/api/bad", "/api/bug", "/api/nothing", "/nothing"])
async def test_every_response_has_the_security_headers(client: Client, path: str) -> None:
    response = await client.get(path)
    assert {name: response.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert ("Cache-Control" in response.headers) == path.startswith("/api")


def test_the_policy_lets_nothing_in_but_our_own() -> None:
    policy = dict(part.split(" ", 1) for part in middleware.CONTENT_SECURITY_POLICY.split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert {policy[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert "unsafe" not in middleware.CONTENT_SECURITY_POLICY


async def test_the_log_has_no_query(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await client.get("/api/ok?token=swordfish&prompt=hello%20there")
    await client.get("/api/bug?token=swordfish&prompt=hello%20there")
    logged = [record.getMessage() for record in caplog.records]
    assert any("GET /api/ok 200" in line for line in logged)
    assert not any("swordfish" in line or "hello" in line for line in logged)


async def test_a_path_cannot_forge_a_line(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await client.get("/api/x%0aFORGED")
    assert not any("\n" in record.getMessage() for record in caplog.records)


async def test_health_checks_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    app = web.Application()
    app.router.add_get("/api/ready", ok)
    server = TestServer(app)
    await server.start_server(access_log_class=AccessLogger)
    caplog.set_level(logging.DEBUG)
    async with TestClient(server) as client:
        await client.get("/api/ready")
    [record] = [record for record in caplog.records if "/api/ready" in record.getMessage()]
    assert record.levelno == logging.DEBUG


async def test_what_is_no_request_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    server = TestServer(web.Application())
    await server.start_server(access_log_class=AccessLogger)
    caplog.set_level(logging.INFO)
    async with server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"NO REQUEST AT ALL\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"400"
        await reader.read()
        writer.close()
        await writer.wait_closed()
    assert [record.getMessage() for record in caplog.records if record.name == "aiohttp.access"] == []
