"""Quotas end to end: every limit through two gateways that share a table, with what a client is told."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from gateway.ids import new_id
from gateway.sandboxes import places
from gateway.sandboxes.drivers import SandboxState
from gateway.store.blobs import BlobsUnavailable
from gateway.web.request.app_keys import SNAPSHOTS
from tests.gateway.stack import ENDLESS, Stack, assert_whole, read_all, read_until
from tests.gateway.store.blobs.blobs_conformance import chunks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def two(endpoint: str, root: Path, **limits: Any) -> AsyncIterator[Stack]:
    """Two gateways with these limits."""
    async with Stack(endpoint, f"test-{new_id()}", root / "sandboxes", **limits) as stack:
        await stack.add()
        yield stack


async def post(
    stack: Stack, path: str, body: Any, *, gateway: int = 0, token: str = "", user: str = "ada"
) -> tuple[int, dict[str, str], Any]:
    """The status, the headers and the body of an answer."""
    headers = {"Authorization": f"Bearer {token}"} if token else stack.headers(user)
    async with stack.http.post(stack.gateways[gateway].url + path, json=body, headers=headers) as response:
        return response.status, dict(response.headers), await response.json()


async def refused_prompt(stack: Stack, session: str, gateway: int, **query: Any) -> dict[str, Any]:
    """The error frame of a prompt that is sent as the page does, and refused."""
    async with stack.connect(session, gateway=gateway) as socket:
        await socket.send_str(json.dumps({"type": "start", "prompt": "echo no", **query}))
        frames = await read_all(socket)
        assert socket.close_code == 4409
    assert [frame["type"] for frame in frames][-1] == "error"
    return frames[-1]


def assert_says(answer: dict[str, Any], code: str, *words: str) -> None:
    assert answer["code"] == code
    assert [word for word in words if word not in answer["error"]] == []
    assert answer["retryAfter"] >= 1


class TestPrompts:
    async def test_two_gateways_share_a_limit(self, dynamodb_endpoint: str, tmp_path: Path) -> None:
        async with two(dynamodb_endpoint, tmp_path, prompts_per_day=2) as stack:
            session = await stack.session()
            assert_whole(await stack.ask(session, "echo one", gateway=0, messageId="m1"))
            assert_whole(await stack.ask(session, "echo two", gateway=1, messageId="m2"))
            for gateway in (0, 1):
                answer = await refused_prompt(stack, session, gateway, messageId="m3")
                assert_says(answer, "rate-limited", "2 prompts a day", "try again in")
            # Sent again it is known, and nothing new.
            assert_whole(await stack.ask(session, "echo one", gateway=1, messageId="m1"))
            found = await stack.get(f"/api/sessions/{session}/messages")
            assert [item["id"] for item in found["messages"] if item["role"] == "user"] == ["m1", "m2"]
            status, headers, body = await post(
                stack, "/api/sdk/stream", {"sessionId": session, "prompt": "x"}
            )
            assert (status, headers["Retry-After"]) == (429, str(body["retryAfter"]))
            assert_whole(await stack.ask(await stack.session("bob"), "echo bob's", user="bob"))

    async def test_a_queue_a_takeover_and_readers_cost_nothing(
        self, dynamodb_endpoint: str, tmp_path: Path
    ) -> None:
        async with two(dynamodb_endpoint, tmp_path, prompts_per_day=2) as stack:
            session = await stack.session()
            async with stack.connect(session, prompt=ENDLESS, messageId="m1") as socket:
                run = (await read_until(socket, "run"))[-1]["run"]
                async with stack.connect(session, prompt="echo behind", messageId="m2") as waiting:
                    await read_until(waiting, "status")
                    stack.gateways[0].crash()
                    async with stack.connect(session, gateway=1, run=run) as reader:
                        await read_until(reader, "text-delta")
                    async with asyncio.timeout(60):
                        while run not in stack.gateways[1].runs.recorders:
                            await asyncio.sleep(0.05)
                    await stack.post("/api/sdk/stop", {"sessionId": session, "run": run}, gateway=1)
            assert await stack.final(session, run) == "stopped"
            queued = await stack.gateways[1].runs.store.get_message(session, "m2")
            assert queued is not None
            assert await stack.final(session, queued.run) == "completed"

    async def test_a_store_that_is_away_refuses_nobody(
        self, dynamodb_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with two(dynamodb_endpoint, tmp_path, prompts_per_day=1) as stack:
            session = await stack.session()
            assert_whole(await stack.ask(session, "echo one"))

            async def away(*_: Any, **__: Any) -> None:
                await asyncio.Event().wait()

            monkeypatch.setattr(stack.gateways[0].runs.store, "count", away)
            assert_whole(await stack.ask(session, "echo two"))
            monkeypatch.undo()
            assert (await refused_prompt(stack, session, 0))["code"] == "rate-limited"


class TestSessionsAndTickets:
    async def test_sessions_an_hour(self, dynamodb_endpoint: str, tmp_path: Path) -> None:
        async with two(dynamodb_endpoint, tmp_path, sessions_per_hour=3) as stack:
            racing = await asyncio.gather(
                *(post(stack, "/api/sessions", {}, gateway=number % 2) for number in range(12))
            )
            assert sorted(status for status, _, _ in racing) == [201] * 3 + [429] * 9
            refused = [body for status, _, body in racing if status == 429]
            assert_says(refused[0], "rate-limited", "3 sessions an hour", "try again in")
            assert len((await stack.get("/api/sessions"))["sessions"]) == 3

    async def test_sessions_that_are_kept(self, dynamodb_endpoint: str, tmp_path: Path) -> None:
        async with two(dynamodb_endpoint, tmp_path, sessions_per_user=2) as stack:
            first = await stack.session()
            await stack.session()
            status, headers, body = await post(stack, "/api/sessions", {}, gateway=1)
            assert (status, "Retry-After" in headers) == (429, True)
            assert_says(body, "quota-reached", "You have 2 sessions", "delete some")
            url = f"{stack.url}/api/sessions/{first}"
            async with stack.http.delete(url, headers=stack.headers()) as response:
                assert response.status == 204
            assert (await post(stack, "/api/sessions", {}, gateway=1))[0] == 201

    async def test_bytes_that_are_kept(self, dynamodb_endpoint: str, tmp_path: Path) -> None:
        blobs = f"folder:{tmp_path / 'blobs'}"
        async with two(dynamodb_endpoint, tmp_path, stored_mb_per_user=1, blobs=blobs) as stack:
            session = await stack.session()
            assert_whole(await stack.ask(session, "echo hello"))
            await stack.quiet(session)
            await stack.gateways[0].reaper().reap()
            store = stack.gateways[1].runs.store
            kept = (await store.held_by("ada")).stored
            assert kept == sum(
                path.stat().st_size for path in (tmp_path / "blobs").rglob("*") if path.is_file()
            )
            assert (await post(stack, "/api/sessions", {}, gateway=1))[0] == 201
            await store.set_stored(session, 2 * 1024 * 1024)
            status, _, body = await post(stack, "/api/sessions", {})
            assert status == 429
            assert_says(body, "quota-reached", "keep 2 MB", "may keep 1 MB")
            snapshots = stack.gateways[0].app[SNAPSHOTS]
            assert snapshots is not None
            with pytest.raises(BlobsUnavailable, match="have 2 MB and may have 1 MB"):
                await snapshots._blobs.put(session, chunks(b"x"))
            assert len(list((tmp_path / "blobs").rglob(session))) == 1  # the one before stays

    async def test_tickets_a_minute(self, dynamodb_endpoint: str, tmp_path: Path) -> None:
        async with two(dynamodb_endpoint, tmp_path, tickets_per_minute=1) as stack:
            answers = [await post(stack, "/api/sdk/ticket", {}, gateway=number % 2) for number in range(6)]
            # A minute may have ended in between, once.
            assert [status for status, _, _ in answers].count(200) in (1, 2)
            refused = next(body for status, _, body in answers if status == 429)
            assert_says(refused, "too-many", "1 tickets a minute")


class TestSignIns:
    async def test_what_fails_too_often_is_told_and_locks_nobody_out(
        self, dynamodb_endpoint: str, tmp_path: Path
    ) -> None:
        async with two(dynamodb_endpoint, tmp_path, failed_sign_ins=3) as stack:
            good = stack.headers()["Authorization"].removeprefix("Bearer ")
            bad = good[:-6] + "aaaaaa"
            answers = [
                await post(stack, "/api/sessions", {}, gateway=number % 2, token=bad) for number in range(8)
            ]
            assert {status for status, _, _ in answers} == {401, 429}
            assert_says(answers[-1][2], "sign-ins-limited", "3 times in 10 minutes", "try again in")
            assert int(answers[-1][1]["Retry-After"]) <= 600
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await stack.http.ws_connect(
                    f"{stack.url}/api/sdk/ws", params={"sessionId": "s", "token": bad}
                )
            assert refused.value.status == 429
            assert (await post(stack, "/api/sessions", {}))[0] == 201

    async def test_deep_json_in_a_token_is_no_failure_of_ours(self, stack: Stack) -> None:
        status, _, body = await post(stack, "/api/sessions", {}, token="W1tb" * 1900 + ".e30.AA")
        assert (status, body["code"]) == (401, "unauthorized")


class TestSandboxes:
    async def test_a_user_has_so_many_at_once(self, dynamodb_endpoint: str, tmp_path: Path) -> None:
        async with two(dynamodb_endpoint, tmp_path, sandboxes_per_user=1) as stack:
            first, second, bobs = await stack.session(), await stack.session(), await stack.session("bob")
            assert_whole(await stack.ask(first, "echo one"))
            answer = await refused_prompt(stack, second, 1, messageId="m1")
            assert_says(answer, "quota-reached", "You have 1 sandboxes running", "idle")
            assert (await stack.gateways[1].runs.driver.status(second)).state is SandboxState.ABSENT
            assert_whole(await stack.ask(bobs, "echo bob's", user="bob"))
            assert_whole(await stack.ask(first, "echo more", gateway=1))
            # Gone, it makes room; and the prompt that was refused may be sent again as it was.
            url = f"{stack.url}/api/sessions/{first}"
            async with stack.http.delete(url, headers=stack.headers()) as response:
                assert response.status == 204
            assert_whole(await stack.ask(second, "echo no", gateway=1, messageId="m1"))

    async def test_racing_starts_in_both_gateways_pass_no_limit(
        self, dynamodb_endpoint: str, tmp_path: Path
    ) -> None:
        async with two(dynamodb_endpoint, tmp_path, sandboxes=2) as stack:
            sessions = [await stack.session(f"user{number}") for number in range(6)]
            racing = await asyncio.gather(
                *(
                    post(
                        stack,
                        "/api/sdk/ticket",
                        {"sessionId": session},
                        gateway=number % 2,
                        user=f"user{number}",
                    )
                    for number, session in enumerate(sessions)
                )
            )
            assert {status for status, _, _ in racing} == {200}

            async def opens(number: int, session: str) -> bool:
                async with stack.connect(session, gateway=number % 2, user=f"user{number}") as socket:
                    await socket.send_str(json.dumps({"type": "start", "prompt": "echo hello"}))
                    frames = await read_all(socket)
                refused = frames[-1]["type"] == "error"
                assert not refused or "All 2 sandboxes" in frames[-1]["error"]
                return not refused

            started = await asyncio.gather(*(opens(*pair) for pair in enumerate(sessions)))
            assert sum(started) == 2
            assert len(await stack.gateways[0].runs.driver.list()) == 2

    async def test_a_crashed_gateways_place_runs_out_and_running_sandboxes_count_by_truth(
        self, dynamodb_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with two(dynamodb_endpoint, tmp_path, sandboxes=1) as stack:
            first, second = await stack.session(), await stack.session()
            lost = await stack.gateways[0].runs.store.get_session(first)
            await stack.gateways[0].runs.places.claim(lost)  # and it dies before it starts anything
            assert (await refused_prompt(stack, second, 1))["code"] == "quota-reached"
            mine = stack.gateways[1].runs.places
            later = mine._clock() + stack.settings.start_seconds + places.MARGIN_SECONDS + 1
            monkeypatch.setattr(mine, "_clock", lambda: later)
            assert_whole(await stack.ask(second, "echo two", gateway=1))
            # Its place has run out too, and it is counted all the same: it runs.
            monkeypatch.setattr(mine, "_clock", lambda: later + 1000)
            assert (await refused_prompt(stack, first, 1))["code"] == "quota-reached"

    async def test_a_relay_and_an_attaching_reader_wake_no_sandbox_past_the_limit(
        self, dynamodb_endpoint: str, tmp_path: Path
    ) -> None:
        async with two(dynamodb_endpoint, tmp_path, sandboxes_per_user=1) as stack:
            first, second = await stack.session(), await stack.session()
            assert_whole(await stack.ask(first, "echo one"))
            url = f"{stack.gateways[1].url}/anything"
            async with stack.http.ws_connect(
                url, params={"sessionId": second}, headers=stack.headers()
            ) as socket:
                assert (await socket.receive(60)).type is aiohttp.WSMsgType.CLOSE
                assert socket.close_code == 4409
            assert (await stack.gateways[1].runs.driver.status(second)).state is SandboxState.ABSENT
