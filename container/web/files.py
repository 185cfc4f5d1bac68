"""Handlers of the workspace's files: `/tree`, `/file`, `/upload`, `/zip`, `/search`. All of it is done with the agent's
rights, in threads."""

from __future__ import annotations

import asyncio
import binascii
import functools
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

from aiohttp import hdrs, web

from container.errors import BadRequest, PayloadTooLarge
from container.files import beneath, content, search, tree, uploads, zips
from container.files.ignored import ignored
from container.files.names import encoded, fields_of, file_parts, parts_of, shown
from container.protocol import decode
from container.settings import agent_environment
from container.web.app_keys import CONNECTIONS, SETTINGS, SNAPSHOTS

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MOST_LISTED: Final = 1000
BODY_BYTES: Final = 32 * 1024
"""Longest JSON body: two paths."""

SILENCE_SECONDS: Final = 60.0
"""A body that says nothing for so long is given up."""

ZIP_BYTES: Final = 2 * 1024**3
"""What a folder may have, unless the request says less or more."""

RAW: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Disposition": "attachment",
    hdrs.ACCEPT_RANGES: "bytes",
}


def routes() -> list[web.RouteDef]:
    """All of them."""
    return [
        web.get("/tree", at_work(listing)),
        web.post("/tree", at_work(change)),
        web.get("/file", at_work(read)),
        web.put("/file", at_work(write), expect_handler=ask_later),
        web.delete("/file", at_work(delete)),
        web.post("/upload", at_work(begin_upload)),
        web.get("/upload", at_work(look_at_upload)),
        web.patch("/upload", at_work(append), expect_handler=ask_later),
        web.put("/upload", at_work(finish_upload)),
        web.delete("/upload", at_work(cancel_upload)),
        web.get("/zip", at_work(archive)),
        web.get("/search", at_work(find)),
    ]


async def ask_later(_request: web.Request) -> None:
    """For a body that its handler asks for with `100 Continue`, once it is known to be wanted."""


def at_work(handler: Handler) -> Handler:
    """Nobody retires the sandbox while it is at such work, nor does it begin in half a workspace."""

    @functools.wraps(handler)
    async def handle(request: web.Request) -> web.StreamResponse:
        await request.app[SNAPSHOTS].settled()
        with request.app[CONNECTIONS].work():
            return await handler(request)

    return handle


async def listing(request: web.Request) -> web.Response:
    """A folder's entries, without what git ignores unless `all=1`."""
    fields, settings = _fields(request), request.app[SETTINGS]
    parts = parts_of(fields.get("path", ""))
    limit = _whole(fields, "limit", default=MOST_LISTED, most=MOST_LISTED)
    page = await _as_agent(
        request,
        lambda: tree.page(settings.workspace, parts, limit=max(1, limit), cursor=fields.get("cursor", "")),
    )
    folder = b"/".join((os.fsencode(settings.workspace), *parts))
    hidden = await ignored(page.names, folder, settings.user, _environment(request))
    entries = []
    for entry in page.entries:
        name = parts_of(entry["path"])[-1]
        if name not in hidden:
            entries.append(entry)
        elif fields.get("all") == "1":
            entries.append({**entry, "ignored": True})
    told = {
        "path": encoded(parts),
        "name": shown(b"/".join(parts)),
        "entries": entries,
        "cursor": page.cursor,
    }
    return web.json_response({**told, "total": page.total, "more": page.more})


async def change(request: web.Request) -> web.Response:
    """`{"folder": path}` makes one, `{"move": path, "to": path}` renames."""
    body = await _body(request, BODY_BYTES)
    try:
        asked = decode(body)
    except ValueError:
        raise BadRequest("The body must be a JSON object.", field="body") from None
    root = request.app[SETTINGS].workspace
    if "folder" in asked:
        parts = file_parts(_string(asked, "folder"), "folder")
        await _as_agent(request, lambda: tree.make_folder(root, parts))
        return web.json_response({"path": encoded(parts)}, status=201)
    source, to = file_parts(_string(asked, "move"), "move"), file_parts(_string(asked, "to"), "to")
    await _as_agent(request, lambda: tree.move(root, source, to))
    return web.json_response({"path": encoded(to)})


async def read(request: web.Request) -> web.StreamResponse:
    """A file's bytes, or a range of them; as many as it has at the beginning, should it grow."""
    parts = file_parts(_fields(request).get("path", ""))
    root = request.app[SETTINGS].workspace

    def opened() -> tuple[int, int, str]:
        with beneath.folder(root, parts[:-1]) as held:
            descriptor = beneath.open_file(held, parts[-1])
        return descriptor, os.fstat(descriptor).st_size, content.version_of(descriptor)

    descriptor, size, version = await _as_agent(request, opened)
    try:
        begin, end, status = _range(request, size, version)
        response = web.StreamResponse(status=status, headers=dict(RAW))
        response.content_type = "application/octet-stream"
        response.headers[hdrs.ETAG] = f'"{version}"'
        response.content_length = end - begin
        if status != 200:
            response.headers[hdrs.CONTENT_RANGE] = (
                f"bytes {begin}-{end - 1}/{size}" if status == 206 else f"bytes */{size}"
            )
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        while begin < end:
            chunk = await asyncio.to_thread(
                os.pread, descriptor, min(content.CHUNK_BYTES, end - begin), begin
            )
            if not chunk:  # it has become shorter: what was promised cannot come
                _break_off(request)
                return response
            await response.write(chunk)
            begin += len(chunk)
        await response.write_eof()
        return response
    finally:
        os.close(descriptor)


async def write(request: web.Request) -> web.Response:
    """A file whole or not at all, when `If-Match` and `If-None-Match` hold."""
    parts = file_parts(_fields(request).get("path", ""))
    condition = _condition(request)
    root = request.app[SETTINGS].workspace
    body = await _body(request, content.HASHED_BYTES)
    is_new, version = await _as_agent(request, lambda: content.write(root, parts, body, condition))
    return _written(is_new, version, len(body))


async def delete(request: web.Request) -> web.Response:
    """A file, a link, or a folder; a full one with `recursive=1`."""
    fields = _fields(request)
    parts = file_parts(fields.get("path", ""))
    root, recursive = request.app[SETTINGS].workspace, fields.get("recursive") == "1"
    await _as_agent(request, lambda: tree.delete(root, parts, recursive=recursive))
    return web.Response(status=204)


async def begin_upload(request: web.Request) -> web.Response:
    """An upload to a file: its id."""
    parts = file_parts(_fields(request).get("path", ""))
    root = request.app[SETTINGS].workspace
    upload = await _as_agent(request, lambda: uploads.begin(root, parts))
    return web.json_response({"upload": upload, "offset": 0}, status=201)


async def look_at_upload(request: web.Request) -> web.Response:
    """How many bytes have come."""
    fields = _fields(request)
    parts, upload = file_parts(fields.get("path", "")), fields.get("upload", "")
    root = request.app[SETTINGS].workspace
    size = await _as_agent(request, lambda: uploads.size_of(root, parts, upload))
    return web.json_response({"upload": upload, "offset": size})


async def append(request: web.Request) -> web.Response:
    """More of an upload, from `offset` on. With `sha256` all of this body is taken, or nothing; else as much of it as
    comes."""
    fields = _fields(request)
    parts, upload = file_parts(fields.get("path", "")), fields.get("upload", "")
    offset, wanted = _whole(fields, "offset", default=-1, most=2**53), _sum(fields)
    root = request.app[SETTINGS].workspace
    descriptor = await _as_agent(request, lambda: uploads.open_at(root, parts, upload, offset))
    at, whole = offset, hashlib.sha256()
    try:
        async for chunk in _pieces(request):
            whole.update(chunk)
            await _as_agent(request, functools.partial(_put, descriptor, chunk, at))
            at += len(chunk)
        if wanted and whole.hexdigest() != wanted:
            await asyncio.to_thread(os.ftruncate, descriptor, offset)
            raise BadRequest("What has come has another SHA-256.", field="sha256")
    except (web.RequestPayloadError, ConnectionError, TimeoutError, asyncio.CancelledError):
        if wanted:
            os.ftruncate(descriptor, offset)
        raise
    finally:
        os.close(descriptor)
    return web.json_response({"upload": upload, "offset": at})


async def finish_upload(request: web.Request) -> web.Response:
    """Give an upload its name, when it has `size` bytes and the `sha256`, and the conditions hold."""
    fields = _fields(request)
    parts, upload = file_parts(fields.get("path", "")), fields.get("upload", "")
    size, wanted, condition = (
        _whole(fields, "size", default=-1, most=2**53),
        _sum(fields),
        _condition(request),
    )
    root = request.app[SETTINGS].workspace
    is_new, version = await _as_agent(
        request, lambda: uploads.finish(root, parts, upload, condition, size=size, sha256=wanted)
    )
    return _written(is_new, version, size)


async def cancel_upload(request: web.Request) -> web.Response:
    """Forget an upload; again is fine."""
    fields = _fields(request)
    parts, upload = file_parts(fields.get("path", "")), fields.get("upload", "")
    root = request.app[SETTINGS].workspace
    await _as_agent(request, lambda: uploads.cancel(root, parts, upload))
    return web.Response(status=204)


async def archive(request: web.Request) -> web.StreamResponse:
    """A folder as a zip."""
    fields = _fields(request)
    parts = parts_of(fields.get("path", ""))
    limit = _whole(fields, "limit", default=ZIP_BYTES, most=2**53)
    root = request.app[SETTINGS].workspace
    await _as_agent(request, lambda: zips.measure(root, parts, limit=limit))
    response = web.StreamResponse(headers={name: RAW[name] for name in RAW if name != hdrs.ACCEPT_RANGES})
    response.content_type = "application/zip"
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    pieces = zips.chunks(root, parts, limit=limit)
    try:
        while (piece := await _as_agent(request, lambda: next(pieces, None))) is not None:
            if piece:
                await response.write(piece)
    except BadRequest:
        _break_off(request)
        return response
    await response.write_eof()
    return response


async def find(request: web.Request) -> web.Response:
    """`kind=content` (default) or `name`: what has `q`."""
    fields, settings = _fields(request), request.app[SETTINGS]
    parts = parts_of(fields.get("path", ""))
    kind = fields.get("kind", "content")
    if kind not in ("content", "name"):
        raise BadRequest("kind must be content or name.", field="kind")
    on = {name: fields.get(name) == "1" for name in ("regex", "case", "all")}
    query = search.Query(fields.get("q", ""), regex=on["regex"], case=on["case"], everything=on["all"])
    await _as_agent(request, lambda: _check_folder(request, parts))
    ask = search.contents if kind == "content" else search.names
    root = os.fsencode(settings.workspace)
    found = await ask(query, root, parts, settings.user, _environment(request))
    return web.json_response({"matches": found.matches, "truncated": found.truncated})


def _check_folder(request: web.Request, parts: tuple[bytes, ...]) -> None:
    with beneath.folder(request.app[SETTINGS].workspace, parts):
        return


async def _as_agent(request: web.Request, work: Callable[[], T]) -> T:
    user = request.app[SETTINGS].user

    def acting() -> T:
        with user.acting(), beneath.refusals():
            return work()

    return await asyncio.to_thread(acting)


def _environment(request: web.Request) -> dict[str, str]:
    whole = agent_environment(request.app[SETTINGS], os.environ, {})
    return {name: whole[name] for name in ("PATH", "HOME", "LANG") if name in whole} | {
        "GIT_OPTIONAL_LOCKS": "0"
    }


def _fields(request: web.Request) -> dict[str, str]:
    return fields_of(request.rel_url.raw_query_string)


def _string(asked: dict[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str):
        raise BadRequest(f"{name} must be a percent-encoded path.", field=name)
    return value


def _whole(fields: dict[str, str], name: str, *, default: int, most: int) -> int:
    text = fields.get(name, "")
    if not text and default >= 0:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 16 or int(text) > most:
        raise BadRequest(f"{name} must be a whole number, at most {most}.", field=name)
    return int(text)


def _sum(fields: dict[str, str]) -> str:
    text = fields.get("sha256", "").lower()
    try:
        good = not text or len(binascii.unhexlify(text)) == 32
    except ValueError:
        good = False
    if not good:
        raise BadRequest("sha256 must be 64 hexadecimal digits.", field="sha256")
    return text


def _condition(request: web.Request) -> content.Condition:
    headers = request.headers
    return content.Condition.of(headers.get(hdrs.IF_MATCH, ""), headers.get(hdrs.IF_NONE_MATCH, ""))


def _written(is_new: bool, version: str, size: int) -> web.Response:
    tag = f'"{version}"'
    return web.json_response(
        {"etag": tag, "size": size}, status=201 if is_new else 200, headers={hdrs.ETAG: tag}
    )


def _range(request: web.Request, size: int, version: str) -> tuple[int, int, int]:
    """(from, to, status) of the bytes that are asked for; a range that is not understood is none (RFC 9110 14.2)."""
    if_range = request.headers.get(hdrs.IF_RANGE)
    try:
        asked = request.http_range
    except ValueError:
        asked = slice(None, None)
    if (asked.start is None and asked.stop is None) or (if_range is not None and if_range != f'"{version}"'):
        return 0, size, 200
    begin, end, _ = asked.indices(size)
    if asked.start is not None and (asked.start >= size or begin >= end):
        return 0, 0, 416
    return begin, end, 206


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    """A body that is asked for now, if it waits to be."""
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue" and request.transport:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    while True:
        async with asyncio.timeout(SILENCE_SECONDS):
            chunk = await request.content.read(content.CHUNK_BYTES)
        if not chunk:
            return
        yield chunk


async def _body(request: web.Request, limit: int) -> bytes:
    too_large = PayloadTooLarge(f"The body may have {limit:,} bytes.", field="body")
    if (request.content_length or 0) > limit:
        raise too_large
    body = bytearray()
    async for chunk in _pieces(request):
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)


def _put(descriptor: int, chunk: bytes, at: int) -> None:
    view = memoryview(chunk)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written


def _break_off(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
