"""Requests about a session's files passed to its sandbox, and what comes back.

A sandbox is not believed: of its answers come known statuses, checked headers, and bytes as they are, to be saved and
not shown; no page of ours runs what is in them. A body goes through piece by piece, at the pace of who takes it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp import hdrs, web

from gateway import errors
from gateway.sandboxes.drivers.answers import read_object
from gateway.sandboxes.file_errors import ETAG
from gateway.web.request.app_keys import AUTH, RUNS, SETTINGS
from gateway.web.request.bodies import json_response
from gateway.web.request.middleware import POLICY
from gateway.web.request.owned import owned_session

if TYPE_CHECKING:
    from gateway.model import Session
    from gateway.sandboxes.drivers import Sandbox

CHUNK_BYTES: Final = 256 * 1024

ANSWER_BYTES: Final = 8 * 1024 * 1024
"""Longest JSON of a sandbox: a page of a folder, or what a search found."""

MAX_TARGET_CHARS: Final = 7500
"""Longest query that is passed on: the agent server takes a line of 8,190 bytes."""

SETTLE_SECONDS: Final = 60.0
"""For a sandbox to take a piece of a body, and to answer behind its end."""

_VALUE: Final = re.compile(r"[A-Za-z0-9%._~!$'()*,;:@/+-]*", re.ASCII)
_CONDITION: Final = re.compile(r'\*|"[0-9a-f-]{1,80}"(?:, ?"[0-9a-f-]{1,80}"){0,15}', re.ASCII)

_RAW_POLICY: Final = "sandbox; default-src 'none'; frame-ancestors 'none'"
"""Of contents: shown as a page by whatever mistake, they run nothing and are of no origin."""


async def owned(request: web.Request) -> Session:
    """The session in the path, which is the caller's. Raises what `owned_session` does."""
    user = await request.app[AUTH].user(request)
    return await owned_session(request.app, user, request.match_info["session"])


@asynccontextmanager
async def awake(request: web.Request, session: Session, *, transfer: bool = False) -> AsyncIterator[Sandbox]:
    """The session's sandbox, woken as by a run. The session is in use; `transfer`: for as long as this lasts."""
    runs = request.app[RUNS]
    if runs.draining:
        raise errors.Draining("This gateway is shutting down; ask again.")
    await runs.places.claim(session)
    sandbox = await runs.sandbox.ask(session.id)
    if transfer:
        async with runs.uses.hold(session.id):
            yield sandbox
    else:
        await runs.uses.note(session.id)
        yield sandbox


async def told_of(request: web.Request, method: str, route: str, *names: str) -> web.Response:
    """A call without a body, and the JSON that comes of it."""
    session = await owned(request)
    target = target_of(request, route, *names)
    headers = conditions(request)
    async with (
        awake(request, session) as sandbox,
        request.app[RUNS].agent.files(method, sandbox, target, headers=headers) as answer,
    ):
        status, told = answer.status, await read_object(answer, ANSWER_BYTES)
    return json_response(told, status=201 if status == 201 else 200)


async def sent(
    request: web.Request, session: Session, method: str, target: str, *, most: int, transfer: bool = False
) -> web.Response:
    """The request's body to the sandbox, as it comes, and the JSON that comes of it."""
    clock = asyncio.get_running_loop().time
    async with awake(request, session, transfer=transfer) as sandbox:
        broken: list[errors.VaporForgeError] = []
        async with asyncio.timeout(SETTLE_SECONDS) as deadline:

            async def body() -> AsyncIterator[bytes]:
                sent = 0
                while True:
                    deadline.reschedule(None)  # the listener holds the client to its pace
                    chunk = await request.content.read(CHUNK_BYTES)
                    deadline.reschedule(clock() + SETTLE_SECONDS)
                    if not chunk:
                        return
                    sent += len(chunk)
                    if sent > most:
                        broken.append(errors.PayloadTooLarge(f"The body may have {most} bytes"))
                        raise broken[0]
                    yield chunk

            call = request.app[RUNS].agent.files(
                method, sandbox, target, headers=conditions(request), data=body(), seconds=None
            )
            try:
                async with call as answer:
                    status, told = answer.status, await read_object(answer, ANSWER_BYTES)
            except errors.VaporForgeError as error:
                raise (broken[0] if broken else error) from error
    return json_response(told, status=201 if status == 201 else 200)


async def stream(
    request: web.Request, response: web.StreamResponse, answer: aiohttp.ClientResponse, most: int
) -> web.StreamResponse:
    """Pass a body through at its reader's pace. What breaks off there breaks off here."""
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    sent = 0
    async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
        sent += len(chunk)
        if sent > most:
            answer.close()
            raise errors.SandboxUnavailable("The sandbox sent more than there may be.")
        try:
            await response.write(chunk)
        except ConnectionError:
            return response  # the reader has gone
    await response.write_eof()
    return response


def raw(status: int, told: Any) -> web.StreamResponse:
    """The beginning of a response that carries contents; `told`: the sandbox's headers."""
    response = web.StreamResponse(status=status)
    response.content_type = "application/octet-stream"
    response.headers[hdrs.CONTENT_DISPOSITION] = "attachment"
    response.headers[POLICY] = _RAW_POLICY
    if ETAG.fullmatch(tag := told.get(hdrs.ETAG, "")):
        response.headers[hdrs.ETAG] = tag
    return response


def check_size(request: web.Request, size: int) -> None:
    """Raises `PayloadTooLarge` for a file that has more than is sent."""
    most = request.app[SETTINGS].file_mb
    if size > most * 1024 * 1024:
        raise errors.PayloadTooLarge(
            f"The file has {size} bytes; up to {most} MiB are sent (fileMb)", field="path"
        )


def method_of(request: web.Request) -> str:
    """HEAD or GET."""
    return hdrs.METH_HEAD if request.method == hdrs.METH_HEAD else hdrs.METH_GET


def conditions(request: web.Request) -> dict[str, str]:
    """Its `If-Match` and `If-None-Match`. Raises `BadRequest` for what is none of a file's."""
    headers: dict[str, str] = {}
    for name in (hdrs.IF_MATCH, hdrs.IF_NONE_MATCH):
        if (value := request.headers.get(name)) is None:
            continue
        if not _CONDITION.fullmatch(value):
            raise errors.BadRequest(f"{name} must be * or an ETag of this file, in quotes", field=name)
        headers[name] = value
    return headers


def target_of(request: web.Request, route: str, *names: str, **more: str) -> str:
    """The agent server's route with those of the query's fields that are known, as they came: paths are names of bytes,
    percent-encoded. Raises `BadRequest`."""
    fields = []
    for pair in request.rel_url.raw_query_string.split("&"):
        name, _, value = pair.partition("=")
        if name in names:
            if not _VALUE.fullmatch(value):
                raise errors.BadRequest(f"{name} must be percent-encoded", field=name)
            fields.append(f"{name}={value}")
    target = f"{route}?{'&'.join([*fields, *(f'{name}={value}' for name, value in more.items())])}"
    if len(target) > MAX_TARGET_CHARS:
        raise errors.BadRequest(f"The query may have {MAX_TARGET_CHARS} characters", field="path")
    return target
