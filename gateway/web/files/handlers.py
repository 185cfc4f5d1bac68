"""A session's files: listed, read, written, uploaded, searched, by way of the agent server in its sandbox."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import hdrs, web

from gateway import errors
from gateway.fields import dumps
from gateway.sandboxes.drivers.answers import read_object
from gateway.sandboxes.file_errors import ETAG
from gateway.web.files.passing import (
    ANSWER_BYTES,
    awake,
    check_size,
    method_of,
    owned,
    raw,
    sent,
    stream,
    target_of,
    told_of,
)
from gateway.web.request import audited
from gateway.web.request.app_keys import RUNS, SETTINGS
from gateway.web.request.bodies import json_response, read_json

WHOLE_BYTES: Final = 8 * 1024 * 1024
"""What is written at once; more comes as an upload, in pieces of any size."""

MAX_CHANGE_BYTES: Final = 32 * 1024

_RANGE: Final = re.compile(r"bytes=[0-9]{0,18}-[0-9]{0,18}", re.ASCII)
_CONTENT_RANGE: Final = re.compile(r"bytes [0-9]{1,18}-[0-9]{1,18}/[0-9]{1,18}", re.ASCII)


async def listing(request: web.Request) -> web.Response:
    """`GET …/files?path&all&limit&cursor`: a page of a folder."""
    return await told_of(request, "GET", "/tree", "path", "all", "limit", "cursor")


async def change(request: web.Request) -> web.Response:
    """`POST …/files`: `{folder}` makes one, `{move, to}` renames."""
    session = await owned(request)
    body = await read_json(request, MAX_CHANGE_BYTES)
    names = ("folder",) if "folder" in body else ("move", "to")
    for name in names:
        if not isinstance(body.get(name), str) or not body[name]:
            raise errors.BadRequest(f"{name} must be a percent-encoded path", field=name)
    asked = {name: body[name] for name in names}
    async with (
        awake(request, session) as sandbox,
        request.app[RUNS].agent.files("POST", sandbox, "/tree", data=dumps(asked)) as answer,
    ):
        status, told = answer.status, await read_object(answer, ANSWER_BYTES)
    return json_response(told, status=201 if status == 201 else 200)


async def read(request: web.Request) -> web.StreamResponse:
    """`GET …/file?path`: a file's bytes, or a range of them."""
    session = await owned(request)
    target = target_of(request, "/file", "path")
    headers: dict[str, str] = {
        name: value
        for name, pattern in ((hdrs.RANGE, _RANGE), (hdrs.IF_RANGE, ETAG))
        if (value := request.headers.get(name)) is not None and pattern.fullmatch(value)
    }
    if hdrs.IF_RANGE in request.headers and hdrs.IF_RANGE not in headers:
        headers.pop(hdrs.RANGE, None)  # another version's
    async with (
        awake(request, session, transfer=True) as sandbox,
        request.app[RUNS].agent.files(method_of(request), sandbox, target, headers=headers) as answer,
    ):
        size = answer.content_length
        if size is None or answer.status not in (200, 206):
            raise errors.SandboxUnavailable("The sandbox does not say how long the file is.")
        check_size(request, size)
        response = raw(answer.status, answer.headers)
        response.content_length = size
        told = answer.headers.get(hdrs.CONTENT_RANGE, "")
        if answer.status == 206 and _CONTENT_RANGE.fullmatch(told):
            response.headers[hdrs.CONTENT_RANGE] = told
        response.headers[hdrs.ACCEPT_RANGES] = "bytes"
        return await stream(request, response, answer, size)


async def write(request: web.Request) -> web.Response:
    """`PUT …/file?path`: the body is the file; `If-Match`, `If-None-Match`."""
    session = await owned(request)
    if (request.content_length or 0) > WHOLE_BYTES:
        raise errors.PayloadTooLarge(
            f"The body may have {WHOLE_BYTES} bytes; larger files are uploaded in pieces"
        )
    return await sent(request, session, "PUT", target_of(request, "/file", "path"), most=WHOLE_BYTES)


async def delete(request: web.Request) -> web.Response:
    """`DELETE …/file?path&recursive`: a file, a link, or a folder."""
    session = await owned(request)
    target = target_of(request, "/file", "path", "recursive")
    async with awake(request, session) as sandbox:
        audited.record(request, "file-delete", session=session.id, path=request.query.get("path", ""))
        async with request.app[RUNS].agent.files("DELETE", sandbox, target):
            return web.Response(status=204)


async def archive(request: web.Request) -> web.StreamResponse:
    """`GET …/zip?path`: a folder as a zip, as it is read."""
    session = await owned(request)
    most = request.app[SETTINGS].file_mb * 1024 * 1024
    target = target_of(request, "/zip", "path", limit=str(most))
    async with (
        awake(request, session, transfer=True) as sandbox,
        request.app[RUNS].agent.files(method_of(request), sandbox, target) as answer,
    ):
        response = raw(200, answer.headers)
        response.content_type = "application/zip"
        # What is in it and its table of contents; a sandbox that sends more has its answer cut.
        return await stream(request, response, answer, most + most // 8 + WHOLE_BYTES)


async def search(request: web.Request) -> web.Response:
    """`GET …/search?q&kind&path&regex&case&all`: lines or names that have `q`."""
    return await told_of(request, "GET", "/search", "q", "kind", "path", "regex", "case", "all")


async def begin_upload(request: web.Request) -> web.Response:
    """`POST …/upload?path`: an id for what comes in pieces."""
    return await told_of(request, "POST", "/upload", "path")


async def look_at_upload(request: web.Request) -> web.Response:
    """`GET …/upload?path&upload`: how much has come."""
    return await told_of(request, "GET", "/upload", "path", "upload")


async def append(request: web.Request) -> web.Response:
    """`PATCH …/upload?path&upload&offset&sha256`: the body goes behind what has come."""
    session = await owned(request)
    offset = request.query.get("offset", "")
    if not offset.isascii() or not offset.isdigit() or len(offset) > 16:
        raise errors.BadRequest("offset must be how many bytes have come", field="offset")
    left = request.app[SETTINGS].file_mb * 1024 * 1024 - int(offset)
    if left < (request.content_length or 0):
        raise errors.PayloadTooLarge(f"A file may have {request.app[SETTINGS].file_mb} MiB")
    target = target_of(request, "/upload", "path", "upload", "offset", "sha256")
    return await sent(request, session, "PATCH", target, most=left, transfer=True)


async def finish_upload(request: web.Request) -> web.Response:
    """`PUT …/upload?path&upload&size&sha256`: the file gets its name; `If-Match`, `If-None-Match`."""
    return await told_of(request, "PUT", "/upload", "path", "upload", "size", "sha256")


async def cancel_upload(request: web.Request) -> web.Response:
    """`DELETE …/upload?path&upload`: what has come is dropped."""
    session = await owned(request)
    target = target_of(request, "/upload", "path", "upload")
    async with (
        awake(request, session) as sandbox,
        request.app[RUNS].agent.files("DELETE", sandbox, target),
    ):
        return web.Response(status=204)


HANDLERS: Final = (
    *(listing, change, read, write, delete, archive, search),
    *(begin_upload, look_at_upload, append, finish_upload, cancel_upload),
)
"""Each holds one of its caller's places while it works."""
