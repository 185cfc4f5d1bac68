"""The audit through whole gateways: what is in it, who may read it, and that what is done to it is found."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.events import day_of
from gateway.ids import new_id
from gateway.store import keys
from gateway.web.request.app_keys import AUDIT
from gateway.web.request.auth import mint
from gateway.web.request.clients import PROXY_HEADER
from tests.gateway.stack import SECRET, Stack
from tests.imports import ROOT

PROXY = "p" * 32


@pytest.fixture
async def stack(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    changes = {"admins": ("root", "ops"), "proxy_secret": PROXY}
    async with Stack(dynamodb_endpoint, f"test-{new_id()}", tmp_path / "sandboxes", **changes) as stack:
        yield stack


async def events(stack: Stack, *kinds: str) -> list[dict[str, Any]]:
    """What is recorded by now, of these kinds."""
    for gateway in stack.gateways:
        await gateway.app[AUDIT].flush()
    told = await stack.get("/api/admin/audit?limit=500", user="root")
    found = [event for block in told["blocks"] for event in block["events"]]
    return [event for event in found if event["kind"] in kinds] if kinds else found


async def test_what_a_user_does_is_recorded_with_who_and_where_and_no_content(stack: Stack) -> None:
    session = await stack.session()
    via = {PROXY_HEADER: PROXY, "X-Forwarded-For": "203.0.113.7", **stack.headers()}
    settings = {
        "mcpServers": {"git": {"command": "x", "env": {"T": "very-private-1"}}},
        "credential": "very-private-2",
    }
    url = f"{stack.url}/api/settings"
    async with stack.http.put(url, json=settings, headers=via) as response:
        assert response.status == 200
    async with stack.http.put(url, json={"credential": None}, headers=via) as response:
        assert response.status == 200
    await stack.ask(session, "echo very-private-3")
    await stack.post("/api/sdk/stop", {"sessionId": session})
    async with stack.http.delete(f"{stack.url}/api/sessions/{session}", headers=via) as response:
        assert response.status == 204
    found = await events(stack)
    kinds = [event["kind"] for event in found]
    assert set(kinds) >= {
        *("sign-in", "settings-change", "credential-set", "credential-clear", "run-stop", "session-delete"),
        *("sandbox-start", "sandbox-delete"),
    }
    by_kind = {event["kind"]: event for event in found}
    for kind in ("settings-change", "credential-set", "credential-clear", "session-delete"):
        assert (by_kind[kind]["who"], by_kind[kind]["address"]) == ("ada", "203.0.113.7"), kind
    assert by_kind["run-stop"]["address"] == "127.0.0.1"
    for kind in ("run-stop", "session-delete", "sandbox-start", "sandbox-delete"):
        assert (by_kind[kind]["session"], by_kind[kind]["outcome"]) == (session, "ok"), kind
    assert kinds.count("sandbox-start") == 1
    assert "very-private" not in json.dumps(found)


async def test_a_token_is_signed_in_with_once_and_its_ticket_is_no_other(stack: Stack) -> None:
    headers = stack.headers("ada")
    for _ in range(3):
        async with stack.http.get(f"{stack.url}/api/sessions", headers=headers) as response:
            assert response.status == 200
    async with stack.http.post(f"{stack.url}/api/sdk/ticket", json={}, headers=headers) as response:
        assert response.status == 200
    found = [event for event in await events(stack, "sign-in") if event["who"] == "ada"]
    assert len(found) == 1


async def test_refusals_are_recorded_with_what_is_known(stack: Stack) -> None:
    session = await stack.session("ada")
    await stack.post("/api/sdk/stop", {"sessionId": session}, user="eve")
    async with stack.http.get(f"{stack.url}/api/sessions") as response:
        assert response.status == 401
    found = await events(stack, "refused")
    told = [(event.get("who"), event["outcome"], event["route"]) for event in found]
    assert told == [("eve", "not-owner", "POST /api/sdk/stop"), (None, "unauthorized", "GET /api/sessions")]


async def test_a_flood_of_refusals_is_a_few_events_that_count_them(stack: Stack) -> None:
    via = {PROXY_HEADER: PROXY}

    async def knock(number: int) -> None:
        headers = {**via, "X-Forwarded-For": f"198.51.100.{number % 4}"}
        async with stack.http.get(f"{stack.url}/api/sessions", headers=headers) as response:
            assert response.status == 401

    for start in range(0, 400, 40):
        await asyncio.gather(*(knock(number) for number in range(start, start + 40)))
    audit = stack.gateways[0].app[AUDIT]
    audit._tell_counted(at_once=True)
    found = await events(stack, "refused")
    assert len(found) == 8
    assert sum(event.get("count", 1) for event in found) == 400
    assert {event["address"] for event in found} == {f"198.51.100.{number}" for number in range(4)}


async def test_only_admins_may_read_and_that_is_recorded(stack: Stack) -> None:
    url = f"{stack.url}/api/admin/audit"
    async with stack.http.get(url, headers=stack.headers("ada")) as response:
        assert (response.status, (await response.json())["code"]) == (403, "forbidden")
    async with stack.http.get(url, headers=stack.headers("ops")) as response:
        assert response.status == 200
    [refused] = await events(stack, "refused")
    assert (refused["who"], refused["route"]) == ("ada", "GET /api/admin/audit")
    assert "ops" in [event["who"] for event in await events(stack, "audit-read")]


async def test_by_default_nobody_may(dynamodb_endpoint: str, tmp_path: Path) -> None:
    async with (
        Stack(dynamodb_endpoint, f"test-{new_id()}", tmp_path / "sandboxes") as stack,
        stack.http.get(f"{stack.url}/api/admin/audit", headers=stack.headers()) as response,
    ):
        assert response.status == 403


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("day=today", "day"),
        ("day=2026-13-01", "day"),
        ("format=xml", "format"),
        ("limit=0", "limit"),
        ("cursor=x", "cursor"),
    ],
)
async def test_bad_fields_are_named(stack: Stack, query: str, field: str) -> None:
    async with stack.http.get(
        f"{stack.url}/api/admin/audit?{query}", headers=stack.headers("root")
    ) as response:
        assert (response.status, (await response.json())["field"]) == (400, field)


async def test_pages_and_lines_are_the_same_blocks(stack: Stack) -> None:
    for number in range(3):
        await stack.session(f"user-{number}")
        await stack.gateways[0].app[AUDIT].flush()
    day = day_of(time.time())
    path = f"/api/admin/audit?day={day}&limit=1"
    page = await stack.get(path, user="root")
    blocks = page["blocks"]
    while page["cursor"]:
        page = await stack.get(f"{path}&cursor={page['cursor']}", user="root")
        blocks += page["blocks"]
    async with stack.http.get(
        f"{stack.url}/api/admin/audit?format=jsonl", headers=stack.headers("root")
    ) as response:
        assert response.content_type == "application/x-ndjson"
        lines = [json.loads(line) for line in (await response.text()).splitlines()]
    assert lines[: len(blocks)] == blocks
    assert len(blocks) >= 3
    assert all(block["sealed"] for block in lines)


async def command(stack: Stack, *arguments: str, user: str = "root") -> tuple[int, str]:
    environ = {**os.environ, "VF_AUDIT_TOKEN": mint(user, 600, secret=SECRET)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.audit", *arguments),
        *(() if "--url" in arguments or arguments[-1].endswith(".jsonl") else ("--url", stack.url)),
        cwd=ROOT,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_the_command_verifies_two_gateways_chain_and_finds_what_was_done_to_it(
    stack: Stack, tmp_path: Path
) -> None:
    await stack.add()
    for number in range(4):
        async with stack.http.get(
            f"{stack.gateways[number % 2].url}/api/sessions", headers=stack.headers(f"u{number}")
        ):
            await stack.gateways[number % 2].app[AUDIT].flush()
    status, output = await command(stack, "verify")
    assert status == 0, output
    assert ": whole" in output
    status, output = await command(stack, "export")
    users = [json.loads(line).get("who") for line in output.splitlines()]
    assert (status, users[:4]) == (0, ["u0", "u1", "u2", "u3"])
    status, output = await command(stack, "export", "--blocks")
    exported = tmp_path / "blocks.jsonl"
    exported.write_text(output)
    assert (await command(stack, "verify", str(exported)))[0] == 0
    exported.write_text(output.replace('"u2"', '"u9"'))
    status, said = await command(stack, "verify", str(exported))
    assert (status, "was changed" in said) == (1, True)

    table = stack.gateways[0].runs.store._table  # type: ignore[attr-defined]
    day = (await stack.gateways[0].runs.store.audit.head()).day
    second = await table.get(keys.audit(day, 2))
    await table.write_many(deletes=[keys.audit(day, 2)])
    status, said = await command(stack, "verify")
    assert (status, "1 block(s) before 3 are missing" in said) == (1, True), said
    await table.write_many(puts=[{**second, "at": "2026-01-01T00:00:00.000Z"}])
    status, said = await command(stack, "verify")
    assert (status, f"{day} block 2 was changed" in said) == (1, True), said
    await table.write_many(puts=[second])
    assert (await command(stack, "verify"))[0] == 0


async def test_the_command_says_why_it_read_nothing(stack: Stack) -> None:
    status, said = await command(stack, "verify", user="ada")
    assert (status, "403" in said) == (2, True)
    status, said = await command(stack, "verify", "--url", "http://127.0.0.1:9")
    assert (status, "cannot be reached" in said) == (2, True)


async def test_the_last_events_are_written_when_a_gateway_ends(stack: Stack) -> None:
    other = await stack.add()
    async with stack.http.get(f"{other.url}/api/sessions", headers=stack.headers("last")) as response:
        assert response.status == 200
    await other.close()
    stack.gateways.remove(other)
    assert "last" in [event["who"] for event in await events(stack, "sign-in")]


async def test_health_counts_what_is_recorded(stack: Stack) -> None:
    await stack.session()
    await events(stack)
    async with stack.http.get(f"{stack.url}/api/health") as response:
        told = (await response.json())["audit"]
    assert told["recorded"] >= 1
    assert told["lost"] == 0
