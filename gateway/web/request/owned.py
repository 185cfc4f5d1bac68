"""Whose a session is: the first thing that every route about one asks."""

from __future__ import annotations

from aiohttp import web

from gateway.errors import NotOwner, SessionGone
from gateway.fields import identifier
from gateway.model import Session
from gateway.web.request.app_keys import RUNS


async def owned_session(
    app: web.Application, user: str, session_id: str | None, *, deleting: bool = False
) -> Session:
    """The session, when it is `user`'s; nothing else is touched before that is known. One that is being deleted only
    with `deleting`: nobody may wake it any more.

    Raises `BadRequest`, `SessionNotFound`, `NotOwner`, `SessionGone`.
    """
    wanted = identifier({"sessionId": session_id}, "sessionId", required=True)
    session = await app[RUNS].session.ask(wanted)
    if session.owner != user:
        raise NotOwner("This session belongs to another user")
    if session.deleting and not deleting:
        raise SessionGone("This session is being deleted", field="sessionId")
    return session
