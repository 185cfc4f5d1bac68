"""The sessions API: what it gives, in which order, page by page, and that deleting leaves nothing."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from gateway.model import Message, Mode, NewRun, OnBusy
from gateway.web.request.app_keys import DRIVER, STORE
from tests.gateway.stack import ENDLESS, read_all, read_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.gateway.stack import Stack

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def call(stack: Stack, method: str, path: str, body: Any = None, user: str = "ada") -> tuple[int, Any]:
    async with stack.http.request(
        method, stack.url + path, json=body, headers=stack.headers(user)
    ) as response:
        return response.status, await response.json() if response.status != 204 else None


async def refused(stack: Stack, method: str, path: str, body: Any = None) -> str:
    """The field that a 400 names."""
    status, answer = await call(stack, method, path, body)
    assert (status, answer["code"]) == (400, "bad-request")
    return str(answer["field"])


class TestOne:
    async def test_a_session_as_the_protocol_has_it(self, stack: Stack) -> None:
        status, made = await call(stack, "POST", "/api/sessions", {"title": " My chat "})
        assert status == 201
        assert made.keys() == {
            *("id", "title", "createdAt", "updatedAt", "activeRun", "queue", "sdkSessionId", "egressHosts"),
        }
        assert (made["title"], made["activeRun"], made["queue"], made["sdkSessionId"]) == (
            "My chat",
            None,
            [],
            "",
        )
        assert TIME.fullmatch(made["createdAt"])
        assert await call(stack, "GET", f"/api/sessions/{made['id']}") == (200, made)

    async def test_a_title_is_not_needed(self, stack: Stack) -> None:
        for body in ({}, {"title": ""}, {"title": None}):
            assert (await call(stack, "POST", "/api/sessions", body))[1]["title"] == "New session"
        async with stack.http.post(f"{stack.url}/api/sessions", headers=stack.headers()) as response:
            assert response.status == 201

    async def test_it_can_be_renamed(self, stack: Stack) -> None:
        session = await stack.session()
        status, renamed = await call(stack, "PATCH", f"/api/sessions/{session}", {"title": "Über 😀"})
        assert (status, renamed["title"]) == (200, "Über 😀")
        assert (await call(stack, "GET", f"/api/sessions/{session}"))[1]["title"] == "Über 😀"

    async def test_bad_titles_are_refused(self, stack: Stack) -> None:
        session = await stack.session()
        for title in (7, ["x"], "x" * 201):
            assert await refused(stack, "POST", "/api/sessions", {"title": title}) == "title"
            assert await refused(stack, "PATCH", f"/api/sessions/{session}", {"title": title}) == "title"
        for body in ({}, {"title": ""}, {"title": "  "}):
            assert await refused(stack, "PATCH", f"/api/sessions/{session}", body) == "title"


class TestListing:
    async def test_newest_first_page_by_page_and_one_s_own(self, stack: Stack) -> None:
        made = [await stack.session() for _ in range(5)]
        await stack.session("eve")
        seen: list[str] = []
        path = "/api/sessions?limit=2"
        while True:
            _, page = await call(stack, "GET", path)
            assert len(page["sessions"]) <= 2
            seen += [session["id"] for session in page["sessions"]]
            if page["cursor"] is None:
                break
            path = f"/api/sessions?limit=2&cursor={page['cursor']}"
        assert seen == made[::-1]
        assert (await call(stack, "GET", "/api/sessions", user="nobody"))[1] == {
            "sessions": [],
            "cursor": None,
        }

    @pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "1.5", "1e2"])
    async def test_bad_limits_are_refused(self, stack: Stack, limit: str) -> None:
        session = await stack.session()
        assert await refused(stack, "GET", f"/api/sessions?limit={limit}") == "limit"
        assert await refused(stack, "GET", f"/api/sessions/{session}/messages?limit={limit}") == "limit"

    @pytest.mark.parametrize(
        "cursor",
        ["x", "%00", "é", "AAAA", "x" * 4000, "x" * 5000],
        ids=lambda text: f"{text[:9]}-{len(text)}",
    )
    async def test_bad_cursors_are_refused(self, stack: Stack, cursor: str) -> None:
        session = await stack.session()
        assert await refused(stack, "GET", f"/api/sessions?cursor={cursor}") == "cursor"
        assert await refused(stack, "GET", f"/api/sessions/{session}/messages?cursor={cursor}") == "cursor"

    async def test_another_user_s_cursor_shows_nothing_of_theirs(self, stack: Stack) -> None:
        for _ in range(3):
            await stack.session("ada")
        mine = await stack.session("eve")
        _, page = await call(stack, "GET", "/api/sessions?limit=1", user="ada")
        _, stolen = await call(stack, "GET", f"/api/sessions?cursor={page['cursor']}", user="eve")
        assert {session["id"] for session in stolen["sessions"]} <= {mine}


class TestMessages:
    async def test_a_transcript_in_both_orders(self, stack: Stack) -> None:
        session = await stack.session()
        store = stack.gateways[0].app[STORE]
        for number in range(5):
            role = "assistant" if number % 2 else "user"
            await store.put_message(
                Message(
                    id=f"m{number}",
                    session=session,
                    role=role,
                    content=f"text {number}",
                    created_at=1000.0 + number,
                    run="r1",
                    parts=({"type": "text", "text": f"text {number}"},),
                    meta={"costUsd": 0.5, "usage": {"input": 3}},
                )
            )
        path = f"/api/sessions/{session}/messages"
        _, first = await call(stack, "GET", f"{path}?limit=2")
        _, rest = await call(stack, "GET", f"{path}?limit=200&cursor={first['cursor']}")
        assert [message["id"] for message in first["messages"] + rest["messages"]] == [
            "m0",
            "m1",
            "m2",
            "m3",
            "m4",
        ]
        assert rest["cursor"] is None
        assert first["messages"][1] == {
            "id": "m1",
            "role": "assistant",
            "content": "text 1",
            "parts": [{"type": "text", "text": "text 1"}],
            "run": "r1",
            "createdAt": "1970-01-01T00:16:41.000Z",
            "meta": {"costUsd": 0.5, "usage": {"input": 3}},
        }
        _, newest = await call(stack, "GET", f"{path}?order=newest&limit=1")
        assert [message["id"] for message in newest["messages"]] == ["m4"]
        assert await refused(stack, "GET", f"{path}?order=random") == "order"


class TestDelete:
    async def test_nothing_is_left(self, stack: Stack, scan: Callable[[], list[dict[str, Any]]]) -> None:
        before = await asyncio.to_thread(scan)
        session = await stack.session()
        store = stack.gateways[0].app[STORE]
        admission = await store.create_run(
            NewRun(
                id="r1",
                session=session,
                owner="ada",
                message="m1",
                prompt="x" * 500_000,
                mode=Mode.AGENT,
                cwd="/workspace",
                created_at=time.time(),
            ),
            on_busy=OnBusy.QUEUE,
            queue_limit=8,
            gateway="test",
            lease_seconds=60,
        )
        await store.append_frames(
            admission.run, first=1, last=1, frames=b'{"type":"run","run":"r1","seq":1}\n'
        )
        driver = stack.gateways[0].app[DRIVER]
        workspace = stack.root / session / "workspace"
        workspace.mkdir(parents=True)
        assert await call(stack, "DELETE", f"/api/sessions/{session}") == (204, None)
        assert await asyncio.to_thread(scan) == before
        assert not workspace.exists()
        assert list(await driver.list()) == []
        for method in ("GET", "DELETE"):
            status, body = await call(stack, method, f"/api/sessions/{session}")
            assert (status, body["code"]) == (404, "session-not-found")
        assert (await call(stack, "GET", "/api/sessions"))[1]["sessions"] == []

    async def test_what_was_cut_short_is_finished_by_asking_again(
        self, stack: Stack, scan: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = await asyncio.to_thread(scan)
        session = await stack.session()
        store = stack.gateways[0].app[STORE]

        async def crash(_session: str) -> None:
            raise ConnectionResetError("the store's connection broke here")

        with monkeypatch.context() as patch:
            patch.setattr(store, "delete_session", crash)
            status, body = await call(stack, "DELETE", f"/api/sessions/{session}")
            assert (status, body["code"]) == (500, "internal")
        assert (await call(stack, "GET", f"/api/sessions/{session}"))[0] == 410
        assert await call(stack, "DELETE", f"/api/sessions/{session}") == (204, None)
        assert await asyncio.to_thread(scan) == before

    async def test_from_its_beginning_on_nothing_asks_or_wakes_the_session(
        self, stack: Stack, scan: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = await asyncio.to_thread(scan)
        session = await stack.session()
        driver = stack.gateways[0].app[DRIVER]

        async def crash(_session: str) -> None:
            raise ConnectionResetError("the launcher's connection broke here")

        with monkeypatch.context() as patch:
            patch.setattr(driver, "delete", crash)  # what goes first after the mark
            assert (await call(stack, "DELETE", f"/api/sessions/{session}"))[0] == 500
        marked = await asyncio.to_thread(scan)
        named = {"sessionId": session}
        for path, body in (
            ("/api/sdk/stream", {**named, "prompt": "echo x"}),
            ("/api/sdk/persist", {**named, "content": "x"}),
            ("/api/sdk/stop", named),
            ("/api/sdk/pause", named),
            ("/api/sdk/resume", named),
            ("/api/sdk/ticket", named),
        ):
            status, answer = await stack.post(path, body)
            assert (status, answer["code"]) == (410, "session-gone"), path
        for path, query in (("/api/sdk/ws", {"prompt": "echo x"}), ("/api/sdk/ws", {}), ("/mcp/relay", {})):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await stack.http.ws_connect(
                    stack.url + path, params={**named, **query}, headers=stack.headers()
                )
            assert refused.value.status == 410, path
        assert (await call(stack, "GET", f"/api/sessions/{session}/messages"))[0] == 410
        assert (await call(stack, "DELETE", f"/api/sessions/{session}", user="eve"))[0] == 403
        assert await asyncio.to_thread(scan) == marked
        assert list(await driver.list()) == []
        assert await call(stack, "DELETE", f"/api/sessions/{session}") == (204, None)
        assert await asyncio.to_thread(scan) == before

    async def test_two_at_once_are_one(self, stack: Stack, scan: Callable[[], list[dict[str, Any]]]) -> None:
        before = await asyncio.to_thread(scan)
        session = await stack.session()
        answers = await asyncio.gather(*(call(stack, "DELETE", f"/api/sessions/{session}") for _ in range(4)))
        assert {status for status, _ in answers} <= {204, 404}
        assert 204 in {status for status, _ in answers}
        assert await asyncio.to_thread(scan) == before


async def test_a_workspace_is_emptied_and_the_conversation_stays(stack: Stack) -> None:
    session = await stack.session()
    url = f"{stack.url}/api/sessions/{session}/files"
    await stack.ask(session, "Create a file called a.txt in /workspace with 'hello'")
    async with stack.connect(session, prompt=ENDLESS) as socket:
        await read_until(socket, "text-delta")
        async with stack.http.delete(url, headers=stack.headers()) as answer:
            assert answer.status == 409
            assert "stop it" in (await answer.json())["error"]
        await stack.post("/api/sdk/stop", {"sessionId": session})
        await read_all(socket)
    async with stack.http.delete(url, headers=stack.headers()) as answer:
        assert answer.status == 204
    assert await stack.gateways[0].app[DRIVER].list() == []
    frames = await stack.ask(session, "List all files")
    assert "a.txt" not in str([frame for frame in frames if frame["type"] == "tool-result"])
    messages = (await stack.get(f"/api/sessions/{session}/messages"))["messages"]
    assert len(messages) == 6
