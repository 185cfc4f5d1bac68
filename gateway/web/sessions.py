"""The routes that create, list, read, rename and delete sessions."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from aiohttp import web

from gateway.errors import BadRequest, Conflict
from gateway.fields import text, whole
from gateway.ids import new_id
from gateway.model import Message, Session
from gateway.sandboxes.drivers import empty
from gateway.web.metered import metered
from gateway.web.request import audited
from gateway.web.request.app_keys import AUTH, BACKGROUND, DRIVER, RUNS, STORE
from gateway.web.request.bodies import iso, json_response, read_json
from gateway.web.request.owned import owned_session

MAX_TITLE_CHARS: Final = 200
DEFAULT_TITLE: Final = "New session"
MAX_CURSOR_CHARS: Final = 4096


async def create(request: web.Request) -> web.Response:
    """`POST /api/sessions`"""
    user = await request.app[AUTH].user(request)
    title = _title(await read_json(request), required=False)
    await request.app[RUNS].quotas.session(user)
    now = time.time()
    session = Session(id=new_id(), owner=user, title=title, created_at=now, updated_at=now)
    return json_response(session_json(await request.app[STORE].create_session(session)), status=201)


async def listing(request: web.Request) -> web.Response:
    """`GET /api/sessions`"""
    user = await request.app[AUTH].user(request)
    limit = whole(request.query, "limit", default=50, least=1, most=200)
    page = await request.app[STORE].list_sessions(user, limit=limit, cursor=cursor_of(request))
    return json_response({"sessions": [session_json(item) for item in page.items], "cursor": page.cursor})


async def read(request: web.Request) -> web.Response:
    """`GET /api/sessions/{session}`"""
    return json_response(session_json(await _asked(request)))


async def rename(request: web.Request) -> web.Response:
    """`PATCH /api/sessions/{session}`"""
    session = await _asked(request)
    title = _title(await read_json(request), required=True)
    return json_response(session_json(await request.app[STORE].rename_session(session.id, title)))


async def delete(request: web.Request) -> web.Response:
    """`DELETE /api/sessions/{session}`: nothing new is taken, the run is stopped, the sandbox, its volumes and its
    snapshot go, then every item.

    The session's own item is the last to go, so a deletion that was cut short is finished by asking again. The
    work goes on when the client does not wait for it.
    """
    session = await _asked(request, deleting=True)
    work = request.app[BACKGROUND]
    task = asyncio.create_task(_delete(request.app, session.id), name=f"delete {session.id}")
    work.add(task)
    task.add_done_callback(work.discard)
    audited.record(request, "session-delete", session=session.id)
    await asyncio.shield(task)
    return web.Response(status=204)


async def empty_files(request: web.Request) -> web.Response:
    """`DELETE /api/sessions/{session}/files`: the sandbox is ended, and its files and their snapshot go; messages stay.
    Raises `Conflict` while a run is on."""
    session = await _asked(request)
    if request.query_string:
        raise BadRequest(
            "This empties the whole workspace and takes no query; one file goes by DELETE …/file?path="
        )
    if session.active_run is not None:
        raise Conflict("A run is on in this session: stop it, then empty its workspace")
    work = request.app[BACKGROUND]
    task = asyncio.create_task(empty(request.app[DRIVER], session.id), name=f"empty {session.id}")
    work.add(task)
    task.add_done_callback(work.discard)
    audited.record(request, "files-delete", session=session.id)
    await asyncio.shield(task)
    return web.Response(status=204)


async def messages(request: web.Request) -> web.Response:
    """`GET /api/sessions/{session}/messages`"""
    session = await _asked(request)
    limit = whole(request.query, "limit", default=100, least=1, most=200)
    order = request.query.get("order", "")
    if order not in ("", "oldest", "newest"):
        raise BadRequest("order must be oldest or newest", field="order")
    page = await request.app[STORE].list_messages(
        session.id, limit=limit, cursor=cursor_of(request), newest=order == "newest"
    )
    items = await metered(request.app, session.id, page.items)
    return json_response({"messages": [message_json(item) for item in items], "cursor": page.cursor})


def session_json(session: Session) -> dict[str, Any]:
    """A session as docs/protocol.md has it."""
    return {
        "id": session.id,
        "title": session.title,
        "createdAt": iso(session.created_at),
        "updatedAt": iso(session.updated_at),
        "activeRun": session.active_run,
        "queue": list(session.queue),
        "sdkSessionId": session.sdk_session_id,
        "egressHosts": list(session.egress_hosts),
    }


def message_json(message: Message) -> dict[str, Any]:
    """A message as docs/protocol.md has it."""
    return {
        "id": message.id,
        "role": message.role,
        "content": message.content,
        "parts": list(message.parts),
        "run": message.run,
        "createdAt": iso(message.created_at),
        "meta": message.meta,
    }


async def _delete(app: web.Application, session: str) -> None:
    await app[STORE].begin_delete(session)
    await app[RUNS].forget(session)
    await app[DRIVER].delete(session)
    await app[STORE].delete_session(session)
    await app[DRIVER].delete(session)  # a reader or recorder elsewhere may have woken it once more meanwhile
    await app[RUNS].places.release(session)


async def _asked(request: web.Request, *, deleting: bool = False) -> Session:
    user = await request.app[AUTH].user(request)
    return await owned_session(request.app, user, request.match_info["session"], deleting=deleting)


def _title(body: dict[str, Any], *, required: bool) -> str:
    return text(body, "title", limit=MAX_TITLE_CHARS, required=required).strip() or DEFAULT_TITLE


def cursor_of(request: web.Request) -> str | None:
    return text(request.query, "cursor", limit=MAX_CURSOR_CHARS) or None
