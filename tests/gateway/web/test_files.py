"""A session's files by the gateway's routes, in a real sandbox; and sandboxes that answer what they should not."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import zipfile
from typing import TYPE_CHECKING, Any
from unittest import mock
from unittest.mock import AsyncMock

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from container.protocol import sandbox_token, server_proof
from gateway.concurrency.single_flight import SingleFlight
from gateway.sandboxes.drivers import Sandbox, SandboxState
from gateway.web.request.app_keys import AUDIT
from tests.gateway.stack import SECRET, Stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

PIECE = 8 * 1024 * 1024


class Files:
    """Asks about the files of one session, as its owner unless said otherwise."""

    def __init__(self, stack: Stack, session: str) -> None:
        self.stack, self.session = stack, session

    def url(self, route: str, query: str = "") -> URL:
        return URL(f"{self.stack.url}/api/sessions/{self.session}/{route}?{query}", encoded=True)

    async def ask(
        self,
        method: str,
        route: str,
        query: str = "",
        *,
        user: str = "ada",
        headers: Any = None,
        **options: Any,
    ) -> tuple[int, Any, Mapping[str, str]]:
        sent = {**self.stack.headers(user), **(headers or {})}
        async with self.stack.http.request(
            method, self.url(route, query), headers=sent, **options
        ) as response:
            body: Any = await response.read()
            if response.content_type == "application/json" and body:
                body = await response.json()
            return response.status, body, response.headers

    async def root(self) -> Path:
        """The workspace on this machine's disk."""
        await self.ask("GET", "files")
        (found,) = [path for path in self.stack.root.rglob("workspace") if self.session in str(path)]
        return found


@pytest.fixture
async def files(stack: Stack) -> Files:
    return Files(stack, await stack.session())


async def test_a_file_is_written_listed_read_renamed_and_deleted(files: Files, stack: Stack) -> None:
    status, body, _ = await files.ask("PUT", "file", "path=src/app%20%FF.py", data=b"print(1)\n")
    assert status == 201, body
    tag = body["etag"]
    status, body, _ = await files.ask("GET", "files", "path=src")
    assert [(entry["name"], entry["path"]) for entry in body["entries"]] == [
        ("app \ufffd.py", "src/app%20%FF.py")
    ]
    status, body, headers = await files.ask("GET", "file", "path=src/app%20%FF.py")
    assert (status, body, headers["ETag"]) == (200, b"print(1)\n", tag)
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"] == "attachment"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("sandbox;")
    assert headers["Cache-Control"] == "no-store"
    status, body, headers = await files.ask(
        "GET", "file", "path=src/app%20%FF.py", headers={"Range": "bytes=0-4"}
    )
    assert (status, body, headers["Content-Range"]) == (206, b"print", "bytes 0-4/9")
    status, body, headers = await files.ask("HEAD", "file", "path=src/app%20%FF.py")
    assert (status, headers["Content-Length"], headers["ETag"]) == (200, "9", tag)
    status, body, _ = await files.ask("POST", "files", json={"move": "src/app%20%FF.py", "to": "src/app.py"})
    assert (status, body["path"]) == (200, "src/app.py")
    status, body, _ = await files.ask("POST", "files", json={"folder": "new"})
    assert (status, body["path"]) == (201, "new")
    status, body, _ = await files.ask("GET", "search", "q=PRINT")
    assert [(match["path"], match["line"]) for match in body["matches"]] == [("src/app.py", 1)]
    status, body, _ = await files.ask("GET", "zip", "path=")
    assert sorted(zipfile.ZipFile(io.BytesIO(body)).namelist()) == ["new/", "src/", "src/app.py"]
    assert (await files.ask("DELETE", "file", "path=src"))[0] == 409
    audit = stack.gateways[0].app[AUDIT]
    with mock.patch.object(audit, "record", wraps=audit.record) as recorded:
        assert (await files.ask("DELETE", "file", "path=src&recursive=1"))[0] == 204
    assert recorded.call_args.args == ("file-delete",)
    assert recorded.call_args.kwargs["path"] == "src"
    assert (await files.ask("GET", "file", "path=src/app.py"))[0] == 404


async def test_an_edit_conflict_is_told_with_the_version_that_is_there(files: Files) -> None:
    _, body, _ = await files.ask("PUT", "file", "path=x", data=b"one", headers={"If-None-Match": "*"})
    first = body["etag"]
    _, body, _ = await files.ask("PUT", "file", "path=x", data=b"theirs", headers={"If-Match": first})
    second = body["etag"]
    status, body, _ = await files.ask("PUT", "file", "path=x", data=b"mine", headers={"If-Match": first})
    assert (status, body["code"], body["etag"]) == (412, "changed", second)
    assert (await files.ask("GET", "file", "path=x"))[1] == b"theirs"
    status, body, _ = await files.ask("PUT", "file", "path=x", data=b"mine", headers={"If-Match": "W/x"})
    assert (status, body["field"]) == (400, "If-Match")


async def test_an_upload_of_300_mb_that_is_cut_three_times_arrives_whole(files: Files) -> None:
    block = os.urandom(1024 * 1024)
    size, whole = 300 * 1024 * 1024, hashlib.sha256()
    for number in range(300):
        whole.update(number.to_bytes(4, "big") + block[4:])

    def between(begin: int, end: int) -> bytes:
        numbers = range(begin // len(block), end // len(block))
        return b"".join(number.to_bytes(4, "big") + block[4:] for number in numbers)

    _, body, _ = await files.ask("POST", "upload", "path=big.bin")
    here = f"path=big.bin&upload={body['upload']}"

    async def first_of(data: bytes) -> AsyncIterator[bytes]:
        yield data
        await asyncio.Event().wait()

    async def cut(begin: int, end: int) -> int:
        """Send some of a piece, and go when some of that has come: how much came."""
        data = first_of(between(begin, end))
        going = asyncio.create_task(files.ask("PATCH", "upload", f"{here}&offset={begin}", data=data))
        while (await files.ask("GET", "upload", here))[1]["offset"] == begin:
            await asyncio.sleep(0.01)
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        return int((await files.ask("GET", "upload", here))[1]["offset"])

    offset = 0
    while offset < size:
        if offset in (24 * 1024 * 1024, 136 * 1024 * 1024, 240 * 1024 * 1024):
            came = await cut(offset, offset + 3 * 1024 * 1024)
            assert offset < came <= offset + 3 * 1024 * 1024
        else:
            came = offset
        end = min(size, offset + PIECE)
        data = io.BytesIO(between(offset, end)[came - offset :])
        status, body, _ = await files.ask("PATCH", "upload", f"{here}&offset={came}", data=data)
        if status == 409:  # what was cut was still on its way
            status, body, _ = await files.ask("GET", "upload", here)
            data = io.BytesIO(between(offset, end)[body["offset"] - offset :])
            status, body, _ = await files.ask("PATCH", "upload", f"{here}&offset={body['offset']}", data=data)
        assert (status, body["offset"]) == (200, end)
        offset = end
    done = f"{here}&size={size}&sha256={whole.hexdigest()}"
    status, body, _ = await files.ask("PUT", "upload", done, headers={"If-None-Match": "*"})
    assert (status, body["size"]) == (201, size), body
    status, body, _ = await files.ask("GET", "file", "path=big.bin", headers={"Range": f"bytes={size - 4}-"})
    assert (status, body) == (206, block[-4:])


async def test_what_is_larger_than_the_stack_allows_is_refused(
    dynamodb_endpoint: str, tmp_path: Path
) -> None:
    async with Stack(
        dynamodb_endpoint, f"test-{os.urandom(8).hex()}", tmp_path / "sandboxes", file_mb=1
    ) as stack:
        files = Files(stack, await stack.session())
        _, body, _ = await files.ask("POST", "upload", "path=x")
        here = f"path=x&upload={body['upload']}"
        status, body, _ = await files.ask(
            "PATCH", "upload", f"{here}&offset=0", data=io.BytesIO(bytes(1024 * 1024 + 1))
        )
        assert (status, body["code"]) == (413, "payload-too-large")

        async def unsized() -> Any:
            for _ in range(5):
                yield bytes(256 * 1024)

        status, body, _ = await files.ask("PATCH", "upload", f"{here}&offset=0", data=unsized())
        assert (status, body["code"]) == (413, "payload-too-large")
        with (await files.root() / "sparse").open("wb") as file:
            file.truncate(2 * 1024 * 1024)
        for route in ("file?path=sparse", "zip?path="):
            status, body, _ = await files.ask("GET", *route.split("?"))
            assert (status, body["code"]) == (413, "payload-too-large"), route


async def test_a_browser_downloads_with_a_ticket_once(files: Files, stack: Stack) -> None:
    await files.ask("PUT", "file", "path=x", data=b"x")
    _, answer = await stack.post("/api/sdk/ticket", {"sessionId": files.session})
    for status in (200, 401):
        async with stack.http.get(files.url("file", f"path=x&ticket={answer['ticket']}")) as response:
            assert response.status == status
    other = await stack.session()
    _, answer = await stack.post("/api/sdk/ticket", {"sessionId": other})
    async with stack.http.get(files.url("file", f"path=x&ticket={answer['ticket']}")) as response:
        assert response.status == 401
    _, answer = await stack.post("/api/sdk/ticket", {}, user="eve")
    async with stack.http.get(files.url("zip", f"path=&ticket={answer['ticket']}")) as response:
        assert response.status == 403


async def test_emptying_the_workspace_is_not_asked_for_by_mistake(files: Files) -> None:
    await files.ask("PUT", "file", "path=x", data=b"x")
    status, _, _ = await files.ask("DELETE", "files", "path=x")
    assert status == 400
    assert (await files.ask("GET", "file", "path=x"))[0] == 200


@pytest.mark.parametrize(
    "query", ["path=..", "path=a%00", "path=%2e%2e/x", "path=a<b", "path=" + "a" * 8000, 'path=a"b']
)
async def test_odd_paths_are_refused(files: Files, query: str) -> None:
    status, body, _ = await files.ask("GET", "file", query)
    assert (status, body["field"]) == (400, "path")


async def test_files_keep_a_sandbox_awake(files: Files, stack: Stack) -> None:
    store = stack.gateways[0].runs.store
    before = (await store.get_session(files.session)).used_at
    await files.ask("GET", "files")
    assert (await store.get_session(files.session)).used_at != before


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(bytes(65536))
    return response


async def _html(_request: web.Request) -> web.StreamResponse:
    headers = {
        "Content-Type": "text/html",
        "Set-Cookie": "a=b",
        "ETag": '"><script>',
        "Content-Disposition": "inline",
    }
    return web.Response(body=b"<script>", headers=headers)


async def _array(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"[" * 100_000)


async def _packed(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"x", headers={"Content-Encoding": "gzip"})


async def _elsewhere(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": "http://127.0.0.1/"})


async def _odd_refusal(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"error": "x\n" * 4000, "etag": "<b>", "field": "<i>"}, status=412)


@pytest.fixture
async def hostile(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Files]]]:
    """`await hostile(answer)`: a session whose sandbox answers everything with that; files may have 1 MiB."""
    async with contextlib.AsyncExitStack() as opened:
        stack = Stack(dynamodb_endpoint, f"test-{os.urandom(8).hex()}", tmp_path / "sandboxes", file_mb=1)
        await opened.enter_async_context(stack)

        async def answering(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Files:
            files = Files(stack, await stack.session())
            token = sandbox_token(SECRET.encode(), files.session)

            async def prove(request: web.Request) -> web.Response:
                assert request.transport is not None
                host, port, *_ = request.transport.get_extra_info("sockname")
                return web.Response(text=server_proof(token, request.query["nonce"], host, port))

            app = web.Application()
            app.router.add_get("/proof", prove)
            app.router.add_route("*", "/{any:.*}", answer)
            server = TestServer(app)
            await server.start_server()
            opened.push_async_callback(server.close)
            runs = stack.gateways[0].runs
            host, port = str(server.host), int(server.port or 0)
            double = Sandbox(session=files.session, state=SandboxState.RUNNING, host=host, port=port)
            runs.sandbox = SingleFlight(AsyncMock(return_value=double))
            return files

        yield answering


@pytest.mark.parametrize(
    ("answer", "route", "status"),
    [
        (_endless, "files", 503),
        (_endless, "file", 503),
        (_array, "files", 503),
        (_packed, "file", 503),
        (_elsewhere, "file", 503),
        (_odd_refusal, "file", 412),
    ],
)
async def test_a_sandbox_that_answers_what_it_should_not_is_held_to_it(
    hostile: Callable[..., Awaitable[Files]], answer: Any, route: str, status: int
) -> None:
    got, body, _ = await (await hostile(answer)).ask("GET", route, "path=x")
    assert got == status
    assert body["error"].isprintable()
    assert body.get("etag") is None


async def test_what_a_sandbox_says_of_its_bytes_is_not_passed_on(
    hostile: Callable[..., Awaitable[Files]],
) -> None:
    _, body, headers = await (await hostile(_html)).ask("GET", "file", "path=x")
    assert (body, headers["Content-Type"]) == (b"<script>", "application/octet-stream")
    assert headers["Content-Disposition"] == "attachment"
    assert "Set-Cookie" not in headers
    assert "ETag" not in headers


async def test_an_archive_without_end_is_cut(hostile: Callable[..., Awaitable[Files]]) -> None:
    files = await hostile(_endless)
    with pytest.raises(aiohttp.ClientError):
        await files.ask("GET", "zip", "path=")
