"""`POST /api/sdk/persist`: a client's own copy of an answer, kept unless the recorder has kept it already."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gateway.fields import identifier, text
from gateway.model import Message
from gateway.web.request.app_keys import AUTH, STORE
from gateway.web.request.bodies import json_response, read_json
from gateway.web.request.owned import owned_session

if TYPE_CHECKING:
    from gateway.model import Session
    from gateway.store import Store

MAX_CONTENT_CHARS: Final = 1_000_000
MAX_BODY_BYTES: Final = 6 * MAX_CONTENT_CHARS + 64 * 1024
"""JSON may spell a character in six bytes."""

RECENT: Final = 20
"""How many of the newest messages are compared: the answer may have the next prompt, or the next answer, behind it."""

SETTLE_SECONDS: Final = 3.0
"""A client persists at `done`; the recorder has the answer in the store a moment later, at `process-exit`."""


async def persist(request: web.Request) -> web.Response:
    """`{sessionId, content, sdkSessionId?, messageId?}` → `{"success": true}`; again changes nothing."""
    user = await request.app[AUTH].user(request)
    body = await read_json(request, MAX_BODY_BYTES)
    session = await owned_session(request.app, user, body.get("sessionId"))
    content = text(body, "content", limit=MAX_CONTENT_CHARS, required=True)
    sdk_session = identifier(body, "sdkSessionId")
    name = identifier(body, "messageId") or _derived(session.id, content, sdk_session)
    store = request.app[STORE]
    message = Message(id=name, session=session.id, role="assistant", content=content, created_at=time.time())
    is_new = not await _recorded(store, session, content) and await store.put_message(message)
    # What is known already may be old, and the session's SDK session a later one.
    if is_new and sdk_session and sdk_session != session.sdk_session_id:
        await store.set_sdk_session(session.id, sdk_session)
    return json_response({"success": True})


async def _recorded(store: Store, session: Session, content: str) -> bool:
    """Whether the answer is in the transcript, waiting a moment for a run that is about to end."""
    deadline = time.monotonic() + SETTLE_SECONDS
    pause = 0.02
    while True:
        page = await store.list_messages(session.id, limit=RECENT, newest=True)
        if any(item.role == "assistant" and item.content == content for item in page.items):
            return True
        active = session.active_run
        while session.active_run == active:  # a run's answer and its end are written as one
            if active is None or time.monotonic() >= deadline:
                return False
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)
            session = await store.get_session(session.id)


def _derived(session: str, content: str, sdk_session: str) -> str:
    digest = hashlib.sha256(b"\0".join(part.encode() for part in (session, sdk_session, content)))
    return f"p{digest.hexdigest()[:40]}"
