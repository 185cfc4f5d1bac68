"""`/api/sdk/persist`: an answer is kept once, whoever keeps it first."""

from __future__ import annotations

import asyncio
import io
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.model import Message, Mode, NewRun, OnBusy, Page, Run, RunState, Session
from gateway.web import persist as persisting
from gateway.web.persist import _recorded
from gateway.web.request.app_keys import STORE
from tests.gateway.fakes import RUN, FakeStore, a_run, a_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.gateway.stack import Stack


async def persist(stack: Stack, session: str, **fields: Any) -> None:
    answer = await stack.post("/api/sdk/persist", {"sessionId": session, **fields})
    assert answer == (200, {"success": True})


async def answers(stack: Stack, session: str) -> list[dict[str, Any]]:
    messages = (await stack.get(f"/api/sessions/{session}/messages"))["messages"]
    return [message for message in messages if message["role"] == "assistant"]


async def begin(stack: Stack, session: str) -> Run:
    """An active run that this test records itself."""
    new = NewRun(
        id="r1",
        session=session,
        owner="ada",
        message="m1",
        prompt="hi",
        mode=Mode.AGENT,
        cwd="/workspace",
        created_at=time.time(),
    )
    store = stack.gateways[0].app[STORE]
    admission = await store.create_run(
        new, on_busy=OnBusy.QUEUE, queue_limit=8, gateway="test", lease_seconds=60
    )
    running = await store.mark_running(admission.run)
    assert running is not None
    return running


async def end(stack: Stack, run: Run, content: str) -> None:
    """End it as a recorder does."""
    message = Message(
        id=f"{run.id}-a",
        session=run.session,
        role="assistant",
        content=content,
        created_at=time.time(),
        run=run.id,
    )
    ended = (
        await stack.gateways[0]
        .app[STORE]
        .finish_run(
            run,
            state=RunState.COMPLETED,
            reason="completed",
            message=message,
            gateway="test",
            lease_seconds=60,
        )
    )
    assert ended is not None


async def test_an_answer_is_kept_once(stack: Stack, scan: Callable[[], list[dict[str, Any]]]) -> None:
    session = await stack.session()
    await persist(stack, session, content="the answer", sdkSessionId="sdk-1")
    before = await asyncio.to_thread(scan)
    for _ in range(3):
        await persist(stack, session, content="the answer", sdkSessionId="sdk-1")
    assert await asyncio.to_thread(scan) == before
    assert [message["content"] for message in await answers(stack, session)] == ["the answer"]
    assert (await stack.get(f"/api/sessions/{session}"))["sdkSessionId"] == "sdk-1"


async def test_many_at_once_are_one(stack: Stack) -> None:
    session = await stack.session()
    await asyncio.gather(*(persist(stack, session, content="the answer") for _ in range(8)))
    assert len(await answers(stack, session)) == 1


async def test_a_message_id_names_it(stack: Stack) -> None:
    session = await stack.session()
    await persist(stack, session, content="one", messageId="a1")
    await persist(stack, session, content="one, said otherwise", messageId="a1")
    await persist(stack, session, content="two", messageId="a2")
    assert [(m["id"], m["content"]) for m in await answers(stack, session)] == [("a1", "one"), ("a2", "two")]


async def test_the_sdk_s_session_is_kept_up_to_date_and_never_lost(stack: Stack) -> None:
    session = await stack.session()
    for given, kept in (("sdk-1", "sdk-1"), ("", "sdk-1"), (None, "sdk-1"), ("sdk-2", "sdk-2")):
        await persist(stack, session, content=f"x {given}", sdkSessionId=given)
        assert (await stack.get(f"/api/sessions/{session}"))["sdkSessionId"] == kept


async def test_an_answer_that_is_known_brings_no_sdk_session_of_then(stack: Stack) -> None:
    session = await stack.session()
    await persist(stack, session, content="one", messageId="a1", sdkSessionId="sdk-1")
    await persist(stack, session, content="two", sdkSessionId="sdk-2")
    await persist(stack, session, content="one", sdkSessionId="sdk-1")
    await persist(stack, session, content="one, said otherwise", messageId="a1", sdkSessionId="sdk-1")
    assert (await stack.get(f"/api/sessions/{session}"))["sdkSessionId"] == "sdk-2"


async def test_the_transcript_is_read_again_only_when_a_run_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(persisting, "SETTLE_SECONDS", 60.0)
    listed: list[str] = []

    class Watched(FakeStore):
        looks = 0

        async def list_messages(self, session: str, **_: Any) -> Page[Message]:
            listed.append(session)
            return Page(())

        async def get_session(self, _session: str) -> Session:
            self.looks += 1
            return a_session(active_run=RUN if self.looks < 6 else None)

    store = Watched(a_run())
    assert not await _recorded(store, a_session(active_run=RUN), "the answer")  # type: ignore[arg-type]
    assert (store.looks, len(listed)) == (6, 2)


async def test_what_the_recorder_kept_is_not_kept_again(stack: Stack) -> None:
    session = await stack.session()
    await end(stack, await begin(stack, session), "the answer")
    await persist(stack, session, content="the answer")
    assert [message["id"] for message in await answers(stack, session)] == ["r1-a"]


async def test_a_run_that_is_about_to_end_is_waited_for(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(persisting, "SETTLE_SECONDS", 60.0)
    session = await stack.session()
    run = await begin(stack, session)
    early = asyncio.create_task(persist(stack, session, content="the answer"))
    await end(stack, run, "the answer")
    await early
    assert [message["id"] for message in await answers(stack, session)] == ["r1-a"]


async def test_an_answer_of_one_s_own_is_kept_even_while_a_run_is_on(stack: Stack) -> None:
    session = await stack.session()
    await begin(stack, session)
    await persist(stack, session, content="a note")
    assert [message["content"] for message in await answers(stack, session)] == ["a note"]


async def test_the_longest_content_passes(stack: Stack) -> None:
    session = await stack.session()
    content = "é" * 1_000_000
    body = io.BytesIO(json.dumps({"sessionId": session, "content": content}).encode())
    url = f"{stack.url}/api/sdk/persist"
    async with stack.http.post(url, data=body, headers=stack.headers()) as response:
        assert (response.status, await response.json()) == (200, {"success": True})
    assert [message["content"] for message in await answers(stack, session)] == [content]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("content", None),
        ("content", ""),
        ("content", "  "),
        ("content", 7),
        ("content", "x" * 1_000_001),
        ("sdkSessionId", 7),
        ("sdkSessionId", "x" * 65),
        ("sdkSessionId", "a/b"),
        ("messageId", "a b"),
        ("messageId", 7),
    ],
    ids=lambda value: repr(value)[:12],
)
async def test_bad_fields_are_named(
    stack: Stack, scan: Callable[[], list[dict[str, Any]]], field: str, value: Any
) -> None:
    session = await stack.session()
    before = await asyncio.to_thread(scan)
    status, body = await stack.post("/api/sdk/persist", {"sessionId": session, "content": "x", field: value})
    assert (status, body["code"], body["field"]) == (400, "bad-request", field)
    assert await asyncio.to_thread(scan) == before
