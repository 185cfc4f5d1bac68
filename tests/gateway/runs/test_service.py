"""Runs end to end in one process: admission, streaming, queueing, stopping, taking over."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio

from gateway import errors
from gateway.model import Run
from gateway.runs.service import RunService
from gateway.runs.stats import Stats
from gateway.web.request.app_keys import STATS
from tests.gateway.fakes import quick_settings
from tests.gateway.stack import ENDLESS, Stack, assert_whole, numbered, read_all, read_until, text_of

LONG = "Write a detailed explanation of how WebSocket connections work, every 4 ms"


@pytest_asyncio.fixture
async def stack(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(dynamodb_endpoint, f"t{uuid4().hex}", tmp_path) as stack:
        yield stack


async def test_a_prompt_in_the_url_streams_to_its_end_and_is_kept(stack: Stack) -> None:
    session = await stack.session()
    frames = await stack.ask(session, "echo hello there")
    assert_whole(frames)
    assert "hello there" in text_of(frames)
    run = numbered(frames)[0]["run"]
    assert await stack.final(session, run) == "completed"
    messages = (await stack.get(f"/api/sessions/{session}/messages"))["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"]
    assert messages[0]["content"] == "echo hello there"
    assert messages[1]["content"] == text_of(frames)
    assert messages[1]["meta"]["reason"] == "completed"


async def test_its_sandbox_learns_that_all_is_recorded(stack: Stack) -> None:
    session = await stack.session()
    frames = await stack.ask(session, "echo hello there")
    log = f"{numbered(frames)[0]['run']}.recorded.jsonl"
    async with asyncio.timeout(60):
        while not list(stack.root.rglob(log)):
            await asyncio.sleep(0.05)


async def test_a_start_frame_does_the_same(stack: Stack) -> None:
    session = await stack.session()
    async with stack.connect(session, batch=1) as socket:
        await socket.send_json({"type": "start", "prompt": "echo hi"})
        frames = await read_all(socket)
    assert_whole(frames)
    assert socket.close_code == 1000


async def test_the_second_prompt_meets_the_same_agent(stack: Stack) -> None:
    session = await stack.session()
    for prompt in ("echo one", "echo two"):
        assert_whole(await stack.ask(session, prompt))
    messages = (await stack.get(f"/api/sessions/{session}/messages"))["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2


async def test_tools_really_write(stack: Stack) -> None:
    session = await stack.session()
    frames = await stack.ask(
        session, "Create a file called test.txt in /workspace with 'Hello from WS streaming'"
    )
    assert_whole(frames)
    kinds = [frame["type"] for frame in frames]
    assert kinds.index("text-delta") < kinds.index("tool-start") < kinds.index("tool-result")
    assert "text-delta" in kinds[kinds.index("tool-result") :]
    written = list(stack.root.rglob("test.txt"))
    assert [path.read_text() for path in written] == ["Hello from WS streaming"]


async def test_attaching_gives_the_whole_run_or_what_is_behind_the_cursor(stack: Stack) -> None:
    session = await stack.session()
    async with stack.connect(session, prompt=LONG) as socket:
        head = await read_until(socket, "text-delta", 10)
        run = head[-1]["run"]
        async with stack.connect(session, run=run, after=head[-1]["seq"]) as other:
            rest, tail = await asyncio.gather(read_all(other), read_all(socket))
    assert_whole(head + tail)
    assert_whole(numbered(head) + numbered(rest))
    assert numbered(head + tail) == numbered(head) + numbered(rest)
    async with stack.connect(session, run=run) as socket:
        assert numbered(await read_all(socket)) == numbered(head + tail)
    await stack.final(session, run)
    async with stack.connect(session, run=run, after=7, batch=1) as socket:
        assert numbered(await read_all(socket)) == numbered(head + tail)[7:]


@pytest_asyncio.fixture
async def patient(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """Two gateways of which neither takes a run over, also when the machine holds up both for seconds."""
    async with Stack(dynamodb_endpoint, f"t{uuid4().hex}", tmp_path, lease_seconds=600.0) as stack:
        await stack.add()
        yield stack


async def test_a_cursor_in_a_run_that_the_store_does_not_know_to_run_yet_is_no_error(
    patient: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = patient
    store, away = stack.gateways[0].runs.store, asyncio.Event()
    mark_running = store.mark_running

    async def slowly(run: Run) -> Run | None:
        await away.wait()
        return await mark_running(run)

    monkeypatch.setattr(store, "mark_running", slowly)
    session = await stack.session()
    async with stack.connect(session, prompt=LONG) as socket:
        head = await read_until(socket, "text-delta", 10)
    run, after = head[-1]["run"], head[-1]["seq"]
    assert (await store.get_run(session, run)).state == "pending"
    async with (
        stack.connect(session, run=run, after=after) as same,
        stack.connect(session, run=run, after=after, gateway=1) as other,
    ):
        away.set()
        for rest in await asyncio.gather(read_all(same), read_all(other)):
            assert_whole(numbered(head) + numbered(rest))


async def test_a_run_that_was_read_before_the_store_knew_is_stopped_behind_what_was_read(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stack.add()
    monkeypatch.setattr(stack.gateways[0].runs.store, "mark_running", lambda _: asyncio.Event().wait())
    session = await stack.session()
    async with stack.connect(session, prompt=ENDLESS) as socket:
        head = await read_until(socket, "text-delta", 10)
        run = head[-1]["run"]
        status, body = await stack.post("/api/sdk/stop", {"sessionId": session, "run": run}, gateway=1)
        assert (status, body["state"]) == (200, "pending")
        stack.gateways[0].crash()
        frames = numbered(head + await read_all(socket))
    assert await stack.final(session, run) == "stopped"
    async with stack.connect(session, run=run, gateway=1) as socket:
        assert numbered(await read_all(socket)) == frames
    assert_whole(frames, "stopped")


async def test_events_carry_the_same_frames(stack: Stack) -> None:
    session = await stack.session()
    body = {"sessionId": session, "prompt": "echo over events"}
    async with stack.http.post(f"{stack.url}/api/sdk/stream", json=body, headers=stack.headers()) as response:
        assert response.status == 200
        text = await response.text()
    assert text.endswith("data: [DONE]\n\n")
    frames, cursors = [], []
    for event in text.split("\n\n")[:-2]:
        fields = dict(line.split(": ", 1) for line in event.split("\n"))
        frames.append(json.loads(fields["data"]))
        cursors.append(fields.get("id"))
    assert_whole(frames)
    assert [cursor for cursor in cursors if cursor] == [f"{f['run']}:{f['seq']}" for f in numbered(frames)]
    run = numbered(frames)[0]["run"]
    headers = {**stack.headers(), "Last-Event-ID": f"{run}:3"}
    async with stack.http.post(
        f"{stack.url}/api/sdk/stream", json={"sessionId": session}, headers=headers
    ) as response:
        again = await response.text()
    assert f"id: {run}:4\n" in again
    assert f"id: {run}:3\n" not in again


async def test_a_closed_tab_leaves_the_run_going(stack: Stack) -> None:
    session = await stack.session()
    async with stack.connect(session, prompt=LONG) as socket:
        head = await read_until(socket, "text-delta", 3)
    run = head[-1]["run"]
    assert await stack.final(session, run) == "completed"
    async with stack.http.get(
        f"{stack.url}/api/sdk/replay/{session}", params={"run": run}, headers=stack.headers()
    ) as response:
        recorded = [json.loads(line) for line in (await response.text()).splitlines()]
    assert_whole(recorded)


async def test_stop_keeps_the_text(stack: Stack) -> None:
    session = await stack.session()
    async with stack.connect(session, prompt=ENDLESS) as socket:
        head = await read_until(socket, "text-delta", 5)
        await socket.send_json({"type": "stop"})
        frames = head + await read_all(socket)
    assert_whole(frames, "stopped")
    assert await stack.final(session, frames[-1].get("run") or head[-1]["run"]) == "stopped"
    messages = (await stack.get(f"/api/sessions/{session}/messages"))["messages"]
    assert messages[1]["content"] == text_of(frames) != ""


async def test_stop_works_from_another_gateway(stack: Stack) -> None:
    await stack.add()
    session = await stack.session()
    async with stack.connect(session, prompt=ENDLESS) as socket:
        head = await read_until(socket, "text-delta", 5)
        status, body = await stack.post("/api/sdk/stop", {"sessionId": session}, gateway=1)
        assert (status, body["success"]) == (200, True)
        assert_whole(head + await read_all(socket), "stopped")
    status, body = await stack.post(
        "/api/sdk/stop", {"sessionId": session, "run": head[-1]["run"]}, gateway=1
    )
    assert (status, body["success"]) == (200, True)


@pytest.mark.parametrize("by", ["the socket", "a request"])
async def test_a_stop_needs_no_store_where_the_run_is_recorded(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    session = await stack.session()
    store = stack.gateways[0].runs.store
    async with stack.connect(session, prompt=ENDLESS) as socket:
        head = await read_until(socket, "text-delta", 5)
        assert (await stack.post("/api/sdk/stop", {"sessionId": session}, user="eve"))[0] == 403

        async def away(*_: Any) -> None:
            await asyncio.Event().wait()

        with monkeypatch.context() as patch:
            patch.setattr(store, "request_stop", away)
            patch.setattr(store, "get_session", away)
            async with asyncio.timeout(30):
                if by == "the socket":
                    await socket.send_json({"type": "stop"})
                else:
                    status, body = await stack.post("/api/sdk/stop", {"sessionId": session})
                    assert (status, body["success"], body["run"]) == (200, True, head[-1]["run"])
            assert_whole(head + await read_all(socket), "stopped")


async def test_a_stop_of_another_sessions_run_stops_nothing(stack: Stack) -> None:
    session, others = await stack.session(), await stack.session("eve")
    async with stack.connect(session, prompt=LONG) as socket:
        head = await read_until(socket, "text-delta", 5)
        asked = {"sessionId": others, "run": head[-1]["run"]}
        status, body = await stack.post("/api/sdk/stop", asked, user="eve")
        assert (status, body["code"]) == (404, "run-not-found")
        assert_whole(head + await read_all(socket))


async def test_every_prompt_is_counted_once_whatever_becomes_of_it(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await stack.session()
    runs = stack.gateways[0].runs
    run = {"sessionId": session, "prompt": "echo x"}

    async def refused(change: dict[str, Any], code: str) -> None:
        before = runs.stats.refused
        _, body = await stack.post("/api/sdk/stream", run | change)
        assert (body["code"], runs.stats.refused) == (code, before + 1)

    async def fail(*_: Any, **__: Any) -> None:
        raise errors.StoreUnavailable("away")

    async def break_down(*_: Any, **__: Any) -> None:
        raise RuntimeError("broken")

    async with stack.connect(session, prompt=ENDLESS, messageId="m1") as socket:
        head = await read_until(socket, "text-delta", 1)
        await refused({"prompt": " "}, "bad-request")
        await refused({"mode": "fly"}, "bad-request")
        await refused({"onBusy": "reject"}, "session-busy")
        with monkeypatch.context() as patch:
            patch.setattr(runs, "settings", replace(runs.settings, queue_limit=0))
            await refused({}, "queue-full")
        with monkeypatch.context() as patch:
            patch.setattr(runs, "settings", replace(runs.settings, agent="claude", model_api_key=""))
            await refused({}, "credential-missing")
        for failing, code in ((fail, "store-unavailable"), (break_down, "internal")):
            with monkeypatch.context() as patch:
                patch.setattr(runs.store, "create_run", failing)
                await refused({}, code)
        async with stack.connect(session, prompt=ENDLESS, messageId="m1") as again:
            await read_until(again, "run")
        async with stack.connect(session, prompt="echo later") as waiting:
            await read_until(waiting, "status")
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await stack.connect(session, prompt="")
        assert head
        with monkeypatch.context() as patch:
            patch.setattr(type(runs), "draining", property(lambda _: True))
            await refused({}, "draining")
    prompts = runs.stats.prompts()
    assert prompts == {"received": 12, "run": 2, "queued": 1, "refused": 9, "duplicates": 1, "admitting": 0}


async def test_a_drain_has_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = RunService(quick_settings(drain_seconds=0.4), None, None, None, Stats())  # type: ignore[arg-type]
    released = asyncio.Event()

    async def stubborn() -> None:
        while not released.is_set():
            with suppress(asyncio.CancelledError):
                await released.wait()

    runs._submits.add(asyncio.create_task(stubborn()))  # type: ignore[arg-type]
    runs._tasks["r1"] = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    began = time.monotonic()
    limits: list[float] = []
    wait = asyncio.wait

    async def limited(tasks: Any, *, timeout: float) -> Any:
        limits.append(timeout)
        return await wait(tasks, timeout=timeout)

    monkeypatch.setattr(asyncio, "wait", limited)
    await runs.drain()
    await runs.drain()
    monkeypatch.undo()
    assert time.monotonic() - began >= 0.4
    assert sum(limits) <= 0.4 + 1e-6  # however late each of the waits begins
    released.set()
    await asyncio.gather(*runs._submits, *runs._tasks.values())


async def test_pause_and_resume(stack: Stack) -> None:
    session = await stack.session()
    async with stack.connect(session, prompt=ENDLESS) as socket:
        frames = await read_until(socket, "text-delta", 5)
        assert (await stack.post("/api/sdk/pause", {"sessionId": session}))[0] == 200
        assert (await stack.post("/api/sdk/resume", {"sessionId": session}))[0] == 200
        while frames[-1].get("phase") != "resumed":
            frames += await read_until(socket, "status")
        frames += await read_until(socket, "text-delta", 20)
        await socket.send_json({"type": "stop"})
        assert_whole(frames + await read_all(socket), "stopped")
    assert (await stack.post("/api/sdk/pause", {"sessionId": session}))[0] == 409


async def test_a_second_prompt_waits_its_turn_and_is_told_so(stack: Stack) -> None:
    session = await stack.session()
    async with (
        stack.connect(session, prompt=ENDLESS) as socket,
        stack.connect(session, prompt="echo later") as waiting,
    ):
        told = await read_until(waiting, "status")
        assert (told[-1]["phase"], told[-1]["position"]) == ("queued", 1)
        await socket.send_json({"type": "stop"})
        assert_whole(await read_all(socket), "stopped")
        assert_whole(told + await read_all(waiting))
    prompts = stack.gateways[0].app[STATS].prompts()
    assert prompts["received"] == prompts["run"] + prompts["queued"] + prompts["refused"] == 2
    assert prompts["queued"] == 1


async def test_reject_is_refused_before_the_upgrade(stack: Stack) -> None:
    session = await stack.session()
    async with stack.connect(session, prompt=ENDLESS) as socket:
        await read_until(socket, "text-delta", 1)
        url = f"{stack.url}/api/sdk/ws"
        params = {"sessionId": session, "prompt": "echo no", "onBusy": "reject"}
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        async with stack.http.get(url, params=params, headers=stack.headers() | upgrade) as response:
            assert response.status == 409
            assert (await response.json())["code"] == "session-busy"
        await socket.send_json({"type": "stop"})
        await read_all(socket)


async def test_interrupt_stops_the_active_run_and_goes_next(stack: Stack) -> None:
    session = await stack.session()
    async with stack.connect(session, prompt=ENDLESS) as socket:
        head = await read_until(socket, "text-delta", 2)
        urgent, tail = await asyncio.gather(
            stack.ask(session, "echo urgent", onBusy="interrupt"), read_all(socket)
        )
    assert_whole(head + tail, "stopped")
    assert_whole(urgent)


async def test_a_queued_prompt_can_be_cancelled(stack: Stack) -> None:
    session = await stack.session()
    async with stack.connect(session, prompt=ENDLESS) as socket:
        await read_until(socket, "text-delta", 1)
        async with stack.connect(session, prompt="echo never") as waiting:
            told = await read_until(waiting, "status", 1)
            run = told[-1]["run"]
            assert (await stack.post("/api/sdk/stop", {"sessionId": session, "run": run}))[0] == 200
            assert_whole(await read_all(waiting), "stopped")
        await socket.send_json({"type": "stop"})
        await read_all(socket)


async def test_the_same_message_id_is_one_run(stack: Stack) -> None:
    session = await stack.session()
    first, second = await asyncio.gather(
        stack.ask(session, "echo once", messageId="m1"), stack.ask(session, "echo once", messageId="m1")
    )
    assert numbered(first) == numbered(second)
    messages = (await stack.get(f"/api/sessions/{session}/messages"))["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"]


@pytest.mark.parametrize("how", ["crash", "drain"])
async def test_another_gateway_takes_over(stack: Stack, how: str) -> None:
    await stack.add()
    session = await stack.session()
    async with stack.connect(session, prompt=ENDLESS) as socket:
        head = await read_until(socket, "text-delta", 20)
        run = head[-1]["run"]
        if how == "crash":
            stack.gateways[0].crash()
        else:
            await stack.gateways[0].runs.drain()
            told = (await read_until(socket, "reconnect"))[-1]
            assert told["delayMs"] > 0
            assert (told["run"], told["after"] >= head[-1]["seq"]) == (run, True)
    async with stack.connect(session, gateway=1, run=run, after=head[-1]["seq"]) as socket:
        more = await read_until(socket, "text-delta", 20)
        await socket.send_json({"type": "stop"})
        assert_whole(head + more + await read_all(socket), "stopped")
    assert await stack.final(session, run) == "stopped"
    recorded = b"".join([chunk async for chunk in stack.gateways[1].runs.store.read_frames(session, run)])
    assert_whole([json.loads(line) for line in recorded.splitlines()], "stopped")


async def test_a_killed_sandbox_ends_its_run_as_lost_and_the_next_prompt_wakes_another(stack: Stack) -> None:
    session = await stack.session()
    driver = stack.gateways[0].runs.driver
    async with stack.connect(session, prompt=ENDLESS) as socket:
        head = await read_until(socket, "text-delta", 10)
        await driver.stop(session)
        frames = head + await read_all(socket)
    assert_whole(frames, "lost")
    assert numbered(frames)[-2]["type"] == "sandbox-lost"
    run = numbered(frames)[0]["run"]
    assert await stack.final(session, run) == "lost"
    assert_whole(await stack.ask(session, "echo again"))


async def test_deleting_a_session_in_mid_run_leaves_nothing(patient: Stack) -> None:
    stack = patient
    session = await stack.session()
    async with stack.connect(session, prompt=ENDLESS) as socket:
        await read_until(socket, "text-delta", 3)
        async with stack.http.delete(
            f"{stack.url}/api/sessions/{session}", headers=stack.headers()
        ) as response:
            assert response.status == 204
        frames = await read_all(socket)
    last = frames[-1]
    assert last["type"] in ("error", "process-exit"), last
    assert last.get("code", last.get("reason")) in (
        "session-not-found",
        "run-not-found",
        "session-gone",
        "lost",
    )
    assert list(await stack.gateways[0].runs.driver.list()) == []


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"run": "nobody"}, 404, "run-not-found"),
        ({"run": "no/body"}, 400, "bad-request"),
        ({"run": "RUN", "after": "99999"}, 416, "cursor-ahead"),
        ({"run": "RUN", "after": "-1"}, 400, "bad-request"),
        ({"run": "RUN", "after": "x"}, 400, "bad-request"),
    ],
)
async def test_bad_cursors_are_errors(stack: Stack, query: dict[str, str], status: int, code: str) -> None:
    session = await stack.session()
    frames = await stack.ask(session, "echo x")
    run = numbered(frames)[0]["run"]
    await stack.final(session, run)
    params: dict[str, Any] = {key: value.replace("RUN", run) for key, value in query.items()}
    url = f"{stack.url}/api/sdk/replay/{session}"
    async with stack.http.get(url, params=params, headers=stack.headers()) as response:
        assert (response.status, (await response.json())["code"]) == (status, code)


async def test_a_sandbox_that_was_retired_and_never_stopped_is_replaced(stack: Stack) -> None:
    session = await stack.session()
    assert_whole(await stack.ask(session, "echo one"))
    runs = stack.gateways[0].runs
    sandbox = await runs.driver.ensure(session)
    async with asyncio.timeout(60):
        while not await runs.agent.retire(sandbox, idle=0):
            await asyncio.sleep(0.05)
    assert_whole(await stack.ask(session, "echo two"))


async def test_a_run_whose_sandbox_cannot_start_stops_at_once(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await stack.session()
    runs = stack.gateways[0].runs

    async def never(_session: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(runs.driver, "ensure", never)
    async with stack.connect(session, prompt="echo never", batch=1) as socket:
        told = await read_until(socket, "status")
        assert (await stack.post("/api/sdk/stop", {"sessionId": session}))[0] == 200
        assert_whole(await read_all(socket), "stopped")
    assert await stack.final(session, told[-1]["run"]) == "stopped"
