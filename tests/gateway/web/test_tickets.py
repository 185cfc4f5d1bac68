"""`/api/sdk/ticket`: a ticket opens one WebSocket, as its user, on its session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

if TYPE_CHECKING:
    from tests.gateway.stack import Stack


async def connect(stack: Stack, ticket: str, session: str) -> int:
    """The status of the upgrade; 101 when it opened."""
    try:
        async with stack.http.ws_connect(
            f"{stack.url}/api/sdk/ws?sessionId={session}&ticket={ticket}"
        ) as socket:
            await socket.close()
    except aiohttp.WSServerHandshakeError as error:
        return error.status
    return 101


async def test_a_ticket_opens_one_websocket(stack: Stack) -> None:
    session = await stack.session()
    status, body = await stack.post("/api/sdk/ticket", {"sessionId": session})
    assert (status, body["expiresIn"]) == (200, 60)
    assert [await connect(stack, body["ticket"], session) for _ in range(2)] == [101, 401]


async def test_a_ticket_for_no_session_still_opens_only_its_user_s(stack: Stack) -> None:
    mine, theirs = await stack.session("ada"), await stack.session("eve")
    for session, expected in ((mine, 101), (theirs, 403)):
        _, body = await stack.post("/api/sdk/ticket", {})
        assert await connect(stack, body["ticket"], session) == expected


async def test_a_session_s_ticket_opens_no_other(stack: Stack) -> None:
    first, second = await stack.session(), await stack.session()
    _, body = await stack.post("/api/sdk/ticket", {"sessionId": first})
    assert await connect(stack, body["ticket"], second) == 401


@pytest.mark.parametrize("place", ["header", "stream"])
async def test_a_ticket_is_no_token(stack: Stack, place: str) -> None:
    session = await stack.session()
    _, body = await stack.post("/api/sdk/ticket", {})
    path = "/api/sessions" if place == "header" else f"/api/sdk/stream?ticket={body['ticket']}"
    headers = {"Authorization": f"Bearer {body['ticket']}"} if place == "header" else {}
    async with stack.http.post(
        stack.url + path, json={"sessionId": session, "prompt": "x"}, headers=headers
    ) as answer:
        assert answer.status == 401
