"""The broker between a sandbox's client and a fake model's API, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import logging
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from yarl import URL

from container.listener.refusals import Limits
from container.listener.runner import Listener
from container.protocol import broker_token, sandbox_token
from gateway.broker.credentials import encrypt
from gateway.broker.known_credentials import CACHE_SECONDS
from gateway.broker.model_api import build_broker
from gateway.model import Session
from gateway.sandboxes.drivers import Sandbox, SandboxState
from tests.conftest import free_port
from tests.gateway.stack import SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler

    from gateway.config import Settings
    from gateway.store.dynamo import DynamoStore

START = "start-1"
KEY = "sk-ant-api03-the-real-one"
OAUTH = "sk-ant-oat01-the-real-one"
BODY = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"secret words \xc3\xa9"}]}'


class Upstream:
    """A model's API that does what the test says, and remembers how it was asked."""

    def __init__(self) -> None:
        self.answer: Handler = self.echo
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        return await self.answer(request)

    async def echo(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.read())
        return web.json_response({"ok": True}, headers={"request-id": "req_1", "Set-Cookie": "a=b"})


async def look(session: str) -> Sandbox:
    """Every session's sandbox runs, since its first start."""
    return Sandbox(session=session, state=SandboxState.RUNNING, start=START)


class Bench:
    """A broker, its upstream, and a client in the place of a sandbox."""

    def __init__(
        self, settings: Settings, store: DynamoStore, upstream: Upstream, http: aiohttp.ClientSession
    ) -> None:
        self.settings = settings
        self.store = store
        self.upstream = upstream
        self.http = http
        self.url = ""

    @property
    def token(self) -> str:
        own = sandbox_token(self.settings.sandbox_secret.encode(), "s1")
        return broker_token(own, "s1", START)

    def post(self, path: str = "/v1/messages", **kwargs: Any) -> aiohttp.client._RequestContextManager:
        kwargs.setdefault("headers", {"x-api-key": self.token})
        kwargs.setdefault("data", BODY)
        return self.http.post(URL(self.url + path, encoded=True), **kwargs)


async def serve(stack: contextlib.AsyncExitStack, app: web.Application) -> str:
    runner = Listener(app, Limits(), handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.fixture
async def bench(store: DynamoStore, store_settings: Settings) -> AsyncIterator[Bench]:
    await store.create_session(
        Session(id="s1", owner="ada", title="", created_at=1_700_000_000.0, updated_at=1_700_000_000.0)
    )
    upstream = Upstream()
    async with contextlib.AsyncExitStack() as stack:
        api = web.Application(client_max_size=64 * 1024 * 1024)
        api.router.add_route("*", "/{path:.*}", upstream.handle)
        settings = replace(store_settings, model_api_url=await serve(stack, api), model_api_key=KEY)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        shared = await stack.enter_async_context(aiohttp.ClientSession())
        bench = Bench(settings, store, upstream, http)
        bench.url = await serve(stack, build_broker(settings, store, shared, look=look))
        yield bench


async def test_the_token_is_swapped_for_the_key_and_the_body_untouched(bench: Bench) -> None:
    headers = {
        "x-api-key": bench.token,
        "anthropic-version": "2023-06-01",
        "Cookie": "c=d",
        "User-Agent": "cli/1",
    }
    async with bench.post("/v1/messages?beta=true", headers=headers) as response:
        assert response.status == 200
        assert await response.json() == {"ok": True}
        assert response.headers["request-id"] == "req_1"
        assert "Set-Cookie" not in response.headers
    (asked,) = bench.upstream.requests
    assert asked.raw_path == "/v1/messages?beta=true"
    assert asked.headers["x-api-key"] == KEY
    assert asked.headers["anthropic-version"] == "2023-06-01"
    assert asked.headers["User-Agent"] == "cli/1"
    assert asked.headers["Accept-Encoding"] == "identity"
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.headers["Content-Length"] == str(len(BODY))
    assert not {"Authorization", "Cookie"} & set(asked.headers)
    assert bench.upstream.bodies == [BODY]


async def test_a_bearer_token_is_taken_too(bench: Bench) -> None:
    headers = {"Authorization": f"Bearer {bench.token}", "Content-Type": "application/json"}
    async with bench.post(headers=headers) as response:
        assert response.status == 200
    assert bench.upstream.requests[0].headers["x-api-key"] == KEY
    assert "Authorization" not in bench.upstream.requests[0].headers


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("", "oauth-2025-04-20"),
        ("pdfs-2024-09-25,effort-2025-11-24", "pdfs-2024-09-25,effort-2025-11-24,oauth-2025-04-20"),
    ],
)
async def test_an_oauth_token_of_the_users_own_goes_as_bearer(bench: Bench, sent: str, expected: str) -> None:
    own = encrypt(await bench.store.credential_keys(), "ada", OAUTH)
    await bench.store.put_settings("ada", {"credential": own})
    async with bench.post(headers={"x-api-key": bench.token, "anthropic-beta": sent}) as response:
        assert response.status == 200
    (asked,) = bench.upstream.requests
    assert asked.headers["Authorization"] == f"Bearer {OAUTH}"
    assert asked.headers["anthropic-beta"] == expected
    assert "x-api-key" not in asked.headers


@pytest.mark.parametrize(
    "token",
    [
        "",
        "sk-ant-api03-mine",
        "vfb1.s1.start-1.0000",
        broker_token(sandbox_token(b"x" * 32, "s1"), "s1", START),
        "vfb1.s1.start-1.é",
        sandbox_token(SECRET.encode(), "s1"),
        broker_token(sandbox_token(SECRET.encode(), "s1"), "s1", "start-0"),
    ],
    ids=[
        "none",
        "a real key",
        "short",
        "another stack's",
        "not ASCII",
        "the sandbox's own",
        "of another start",
    ],
)
async def test_no_token_of_ours_no_key(bench: Bench, token: str) -> None:
    async with bench.post(headers={"x-api-key": token}) as response:
        assert response.status == 401
        body = await response.json()
    assert body["type"] == "error"
    assert body["error"]["type"] == "authentication_error"
    assert bench.upstream.requests == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models?limit=2", 200),
        ("GET", "/v1/models?limit=2&x=1", 403),
        ("POST", "/v1/messages?beta=true&x=1", 403),
        ("GET", "/v1/models/claude-x", 200),
        ("POST", "/v1/messages/count_tokens", 200),
        ("GET", "/v1/messages", 404),
        ("POST", "/v1/files", 404),
        ("POST", "/v1/messages/batches", 404),
        ("GET", "/v1/organizations/api_keys", 404),
        ("GET", "/v1/models/..%2forganizations", 404),
        ("GET", "/v1/models/..", 404),
        ("POST", "/v1/messages%2f..", 404),
        ("GET", "/", 404),
    ],
)
async def test_only_what_an_agent_needs_is_forwarded(
    bench: Bench, method: str, path: str, status: int
) -> None:
    url = URL(bench.url + path, encoded=True)
    data = BODY if method == "POST" else None
    async with bench.http.request(method, url, headers={"x-api-key": bench.token}, data=data) as response:
        assert response.status == status
        if status == 404:
            assert (await response.json())["error"]["type"] == "not_found_error"
    assert [str(asked.rel_url) for asked in bench.upstream.requests] == ([path] if status == 200 else [])


async def test_an_absolute_target_cannot_choose_the_host(bench: Bench) -> None:
    url = URL(bench.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    request = (
        f"GET http://elsewhere.invalid/v1/models HTTP/1.1\r\nHost: elsewhere.invalid\r\nx-api-key: {bench.token}\r\n"
        "Connection: close\r\n\r\n"
    )
    writer.write(request.encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert bench.upstream.requests[0].headers["Host"] == bench.settings.model_api_url.removeprefix("http://")


async def test_events_pass_as_they_come(bench: Bench) -> None:
    more = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Connection": "X-Private", "X-Private": "1"}
        )
        await response.prepare(request)
        await response.write(b"event: message_start\ndata: {}\n\n")
        await more.wait()
        await response.write(b"event: message_stop\ndata: {}\n\n")
        return response

    bench.upstream.answer = stream
    async with bench.post() as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert "X-Private" not in response.headers
        assert await response.content.readany() == b"event: message_start\ndata: {}\n\n"
        more.set()
        assert await response.read() == b"event: message_stop\ndata: {}\n\n"


async def test_an_answer_that_is_packed_all_the_same_is_refused(bench: Bench) -> None:
    async def answer(_: web.Request) -> web.Response:
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        return web.Response(body=gzip.compress(b"{}"), headers=headers)

    bench.upstream.answer = answer
    async with bench.post() as response:
        assert response.status == 502
        assert "packs its answer" in (await response.json())["error"]["message"]


async def test_nothing_is_asked_before_the_body_has_come_and_is_judged(bench: Bench) -> None:
    come, go_on = asyncio.Event(), asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        yield BODY[:20]
        come.set()
        await go_on.wait()
        yield BODY[20:]

    async def call() -> int:
        async with bench.post(data=parts()) as response:
            return response.status

    calling = asyncio.create_task(call())
    async with asyncio.timeout(30):
        await come.wait()
        async with bench.post() as response:  # another one passes meanwhile
            assert response.status == 200
    assert len(bench.upstream.requests) == 1
    go_on.set()
    assert await calling == 200
    assert bench.upstream.bodies == [BODY, BODY]


async def test_a_long_body_goes_on_whole(bench: Bench) -> None:
    body = orjson.dumps({"messages": [{"role": "user", "content": "x" * 3_000_000}]})
    async with bench.post(data=io.BytesIO(body)) as response:
        assert response.status == 200
    assert bench.upstream.bodies == [body]


REFUSED = {
    "mcp servers": ({"mcp_servers": [{"type": "url", "url": "https://evil.example"}]}, "mcp_servers"),
    "web search": ({"tools": [{"type": "web_search_20250305", "name": "w"}]}, "web_search_20250305"),
    "an address": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "h"}}]}
            ]
        },
        "url",
    ),
    "a new field": ({"tunnel": "x"}, "tunnel"),
}


@pytest.mark.parametrize(("fields", "name"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages?beta=true", "/v1/messages/count_tokens"])
async def test_what_the_stack_does_not_let_through_is_refused_in_the_apis_form(
    bench: Bench, path: str, fields: dict[str, Any], name: str
) -> None:
    async with bench.post(path, data=orjson.dumps({"model": "m", "messages": [], **fields})) as response:
        assert response.status == 403
        body = await response.json()
    assert body["type"] == "error"
    assert body["error"]["type"] == "permission_error"
    assert repr(name) in body["error"]["message"]
    headers = {"x-api-key": bench.token, "anthropic-beta": "mcp-client-2025-11-20"}
    async with bench.post(path, headers=headers) as response:
        assert response.status == 403
        assert "mcp-client-2025-11-20" in (await response.json())["error"]["message"]
    assert bench.upstream.requests == []


async def test_what_reaches_the_network_goes_on_where_the_stack_says_so(bench: Bench) -> None:
    body = orjson.dumps({"messages": [], "tools": [{"type": "web_search_20250305", "name": "w"}]})
    headers = {"x-api-key": bench.token, "anthropic-beta": "mcp-client-2025-11-20"}
    async with (
        narrow(bench, model_network_tools=True) as (broker, _),
        broker.post(data=body, headers=headers) as response,
    ):
        assert response.status == 200
    assert bench.upstream.bodies == [body]


async def test_a_key_that_is_there_twice_goes_on_once_as_it_was_judged(bench: Bench) -> None:
    hidden = b'{"tools":[{"type":"web_search_20250305"}],"messages":[],"tools":[]}'
    async with bench.post(data=hidden) as response:
        assert response.status == 200
    assert bench.upstream.bodies == [b'{"tools":[],"messages":[]}']
    assert bench.upstream.requests[0].headers["Content-Length"] == "26"


async def test_a_body_of_a_hundred_thousand_levels_is_a_400(bench: Bench) -> None:
    async with bench.post(data=b'{"messages":' + b"[" * 100_000) as response:
        assert response.status == 400
        assert (await response.json())["error"]["type"] == "invalid_request_error"
    assert bench.upstream.requests == []


async def test_a_sandbox_holds_so_much_of_the_gateways_memory(bench: Bench) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b" " * (900 * 1024)
        await asyncio.Event().wait()

    async def call(broker: Bench) -> int:
        async with broker.post(data=parts()) as response:
            return response.status

    async with narrow(bench, call_mb=1) as (broker, _):
        calls = [asyncio.create_task(call(broker)) for _ in range(4)]
        async with asyncio.timeout(30):
            refused, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            assert next(task.result() for task in refused) == 429
            for task in calls:
                task.cancel()
            await asyncio.wait(calls)
            status = 0
            while status != 200:
                async with broker.post() as response:
                    status = response.status
    assert len(bench.upstream.requests) == 1


async def test_an_answer_never_has_the_key_in_it(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        key = request.headers["x-api-key"].encode()
        response = web.StreamResponse(
            headers={"X-Echo": f"key={key.decode()}", "Content-Type": "text/event-stream"}
        )
        if request.path.endswith("count_tokens"):
            response.content_length = len(key) + 2
        await response.prepare(request)
        for part in (b"a" + key[:7], key[7:] + b"z"):
            await response.write(part)
            await asyncio.sleep(0.05)
        return response

    bench.upstream.answer = echo
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        async with bench.post(path) as response:
            assert response.headers["X-Echo"] == "key=" + "*" * len(KEY)
            assert await response.read() == b"a" + b"*" * len(KEY) + b"z"
    assert "own credential" in caplog.text
    assert KEY not in caplog.text


async def test_a_packed_body_reaches_nobody(bench: Bench) -> None:
    headers = {"x-api-key": bench.token, "Content-Encoding": "gzip"}
    async with bench.post(data=gzip.compress(BODY), headers=headers) as response:
        assert response.status == 415
        assert (await response.json())["error"]["type"] == "invalid_request_error"
    assert bench.upstream.requests == []


@contextlib.asynccontextmanager
async def narrow(bench: Bench, **limits: Any) -> AsyncIterator[tuple[Bench, Counter[str]]]:
    """A broker on the same upstream with other limits, and its counts."""
    async with contextlib.AsyncExitStack() as stack:
        shared = await stack.enter_async_context(aiohttp.ClientSession())
        settings = replace(bench.settings, **limits)
        other = Bench(settings, bench.store, bench.upstream, bench.http)
        turned_away: Counter[str] = Counter()
        other.url = await serve(stack, build_broker(settings, bench.store, shared, turned_away, look=look))
        yield other, turned_away


async def test_a_sandbox_has_so_many_calls_at_once(bench: Bench) -> None:
    asked, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def hold(_: web.Request) -> web.Response:
        asked.release()
        await go_on.wait()
        return web.json_response({"ok": True})

    async def call(broker: Bench) -> int:
        async with broker.post() as response:
            return response.status

    bench.upstream.answer = hold
    async with narrow(bench, sandbox_calls=2) as (broker, turned_away):
        calls = [asyncio.create_task(call(broker)) for _ in range(2)]
        async with asyncio.timeout(30):
            for _ in calls:
                await asked.acquire()
        async with broker.post() as response:
            assert response.status == 429
            assert response.headers["Retry-After"] == "1"
            assert (await response.json())["error"]["type"] == "rate_limit_error"
        go_on.set()
        assert await asyncio.gather(*calls) == [200, 200]
        assert await call(broker) == 200
    assert turned_away == {"sandbox": 1}


async def test_what_is_refused_here_uses_nothing_up_of_the_owners_rate(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def hold(_: web.Request) -> web.Response:
        asked.set()
        await go_on.wait()
        return web.json_response({"ok": True})

    async def call(broker: Bench, data: bytes = BODY) -> int:
        async with broker.post(data=io.BytesIO(data)) as response:
            return response.status

    counted: list[str] = []
    count = bench.store.count

    async def counting(rate: Any, amounts: Any, **rest: Any) -> Any:
        counted.extend(amounts)
        return await count(rate, amounts, **rest)

    monkeypatch.setattr(bench.store, "count", counting)
    bench.upstream.answer = hold
    async with narrow(bench, sandbox_calls=1, call_mb=1, model_mb_per_day=0) as (broker, _):
        assert await call(broker, bytes(1024 * 1024 + 1)) == 413
        assert await call(broker, b'{"tunnel":1}') == 403
        first = asyncio.create_task(call(broker))
        async with asyncio.timeout(30):
            await asked.wait()
        assert [await call(broker) for _ in range(5)] == [429] * 5
        go_on.set()
        assert await first == 200
        assert counted.count("calls") == 1


async def test_the_last_bytes_are_counted_before_the_broker_is_gone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: Counter[str] = Counter()

    async def counting(_rate: Any, amounts: Any, **_: Any) -> None:
        await asyncio.sleep(0.2 if "bytes" in amounts else 0)
        counted.update(amounts)

    monkeypatch.setattr(bench.store, "count", counting)
    async with narrow(bench) as (broker, _), broker.post() as response:
        assert response.status == 200
        answer = await response.read()
    assert counted == {"calls": 1, "bytes": len(BODY) + len(answer)}


@pytest.mark.parametrize("told", [True, False], ids=["its length is told", "in chunks"])
async def test_a_body_has_a_greatest_length(bench: Bench, told: bool) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield bytes(128 * 1024)

    async with narrow(bench, call_mb=1) as (broker, _):
        data: Any = io.BytesIO(bytes(9 * 128 * 1024)) if told else parts()
        async with broker.post(data=data) as response:
            assert response.status == 413
            body = await response.json()
        assert body["error"]["type"] == "request_too_large"
        assert "1 MiB" in body["error"]["message"]
        async with broker.post(data=io.BytesIO(b"{}" + b" " * (1024 * 1024 - 2))) as response:
            assert response.status == 200
    assert all(len(body) <= 1024 * 1024 for body in bench.upstream.bodies)


async def test_the_apis_own_errors_pass(bench: Bench) -> None:
    async def overloaded(_: web.Request) -> web.Response:
        body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
        return web.Response(
            status=529, body=body, headers={"retry-after": "7", "Content-Type": "application/json"}
        )

    bench.upstream.answer = overloaded
    async with bench.post() as response:
        assert response.status == 529
        assert response.headers["retry-after"] == "7"
        assert (await response.json())["error"]["type"] == "overloaded_error"


async def test_redirects_are_the_clients_business(bench: Bench) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "http://elsewhere.invalid/"})

    bench.upstream.answer = elsewhere
    async with bench.post(allow_redirects=False) as response:
        assert response.status == 307


async def test_an_api_that_is_away_is_a_502_of_its_own_form(store: DynamoStore, bench: Bench) -> None:
    settings = replace(bench.settings, model_api_url=f"http://127.0.0.1:{free_port()}")
    async with contextlib.AsyncExitStack() as stack:
        shared = await stack.enter_async_context(aiohttp.ClientSession())
        url = await serve(stack, build_broker(settings, store, shared, look=look))
        async with bench.http.post(
            f"{url}/v1/messages", data=BODY, headers={"x-api-key": bench.token}
        ) as response:
            assert response.status == 502
            body = await response.json()
    assert body["error"]["type"] == "api_error"
    assert "cannot be reached" in body["error"]["message"]


async def test_half_an_answer_never_looks_whole(bench: Bench) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"event: message_start\n")
        assert request.transport is not None
        request.transport.abort()
        return response

    bench.upstream.answer = broken
    with pytest.raises(aiohttp.ClientError):
        async with bench.post() as response:
            await response.read()


async def test_a_client_that_leaves_ends_the_request(bench: Bench) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        try:
            started.set()
            await asyncio.Event().wait()
            raise AssertionError
        finally:
            ended.set()

    bench.upstream.answer = endless
    asking = asyncio.create_task(_ask(bench))
    async with asyncio.timeout(30):
        await started.wait()
        asking.cancel()
        await ended.wait()


async def _ask(bench: Bench) -> None:
    async with bench.post() as response:
        await response.read()


async def test_without_a_credential_the_agent_is_told_what_to_do(store: DynamoStore, bench: Bench) -> None:
    async with contextlib.AsyncExitStack() as stack:
        shared = await stack.enter_async_context(aiohttp.ClientSession())
        url = await serve(
            stack, build_broker(replace(bench.settings, model_api_key=""), store, shared, look=look)
        )
        async with bench.http.post(
            f"{url}/v1/messages", data=BODY, headers={"x-api-key": bench.token}
        ) as response:
            assert response.status == 403
            error = (await response.json())["error"]
    assert error["type"] == "permission_error"
    assert "Settings" in error["message"]
    assert bench.upstream.requests == []


async def test_a_session_that_is_gone_gets_nothing(bench: Bench) -> None:
    unknown = broker_token(sandbox_token(bench.settings.sandbox_secret.encode(), "s2"), "s2", START)
    async with bench.post(headers={"x-api-key": unknown}) as response:
        assert response.status == 404
    assert bench.upstream.requests == []


async def test_a_credential_is_remembered_for_seconds_only(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("gateway.broker.known_credentials.time", SimpleNamespace(monotonic=lambda: now))

    async def key_sent() -> str:
        async with bench.post() as response:
            assert response.status == 200
        return bench.upstream.requests[-1].headers["x-api-key"]

    assert await key_sent() == KEY
    own = encrypt(await bench.store.credential_keys(), "ada", "sk-ant-api03-own")
    await bench.store.put_settings("ada", {"credential": own})
    assert await key_sent() == KEY
    now += CACHE_SECONDS + 1
    assert await key_sent() == "sk-ant-api03-own"


async def test_nothing_secret_is_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_: web.Request) -> web.Response:
        raise web.HTTPBadGateway(text="down")

    with caplog.at_level(logging.DEBUG):
        async with bench.post():
            pass
        bench.upstream.answer = broken
        async with bench.post():
            pass
    assert not [word for word in (KEY, bench.token, "secret words") if word in caplog.text]


@pytest.mark.parametrize(
    ("limits", "rule"),
    [
        ({"model_calls_per_minute": 1}, "call the model 1 times a minute"),
        ({"model_mb_per_day": 1}, "exchange 1 MB a day"),
    ],
)
async def test_what_an_owner_has_used_up_is_refused_in_the_apis_own_words_by_every_gateway(
    bench: Bench, limits: dict[str, Any], rule: str
) -> None:
    async def large(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.Response(body=bytes(700_000))

    bench.upstream.answer = large
    async with contextlib.AsyncExitStack() as stack:
        shared = await stack.enter_async_context(aiohttp.ClientSession())
        settings = replace(bench.settings, **limits)
        urls = [await serve(stack, build_broker(settings, bench.store, shared, look=look)) for _ in range(2)]
        async with asyncio.timeout(60):
            for number in range(1000):
                bench.url = urls[number % 2]
                async with bench.post(data=b'{"system":"' + b"x" * 400_000 + b'"}') as response:
                    body = await response.read()
                if response.status != 200:
                    break
                await asyncio.sleep(0.05)  # the bytes are counted beside what goes on
        assert response.status == 429
        assert int(response.headers["Retry-After"]) >= 1
        assert b'"rate_limit_error"' in body
        assert rule.encode() in body
        assert len(bench.upstream.requests) < 10
