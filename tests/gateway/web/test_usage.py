"""Usage as people are told it: their own sessions', their own day's, and in the answers' place of the agent's word."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest_asyncio

from gateway.store import keys
from gateway.store.usage import NANO, day_of
from gateway.web.request.app_keys import SETTINGS, STORE
from tests.gateway.stack import Stack, numbered

NOTHING = {
    "costUsd": 0,
    "calls": 0,
    "estimatedCalls": 0,
    "inputTokens": 0,
    "outputTokens": 0,
    "cacheReadTokens": 0,
    "cacheWrite5mTokens": 0,
    "cacheWrite1hTokens": 0,
    "webSearches": 0,
}


@pytest_asyncio.fixture
async def stack(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(dynamodb_endpoint, f"t{uuid4().hex}", tmp_path, budget_run_usd=0.5) as stack:
        yield stack


async def test_a_session_and_a_day_are_told_to_whose_they_are(stack: Stack) -> None:
    session = await stack.session()
    path = f"/api/sessions/{session}/usage"
    assert await stack.get(path) == {**NOTHING, "budgetUsd": None, "runBudgetUsd": 0.5, "runs": []}
    run = numbered(await stack.ask(session, "echo hi"))[0]["run"]
    await stack.final(session, run)
    day = day_of(time.time())
    rows = stack.gateways[0].app[STORE].usage
    counts = {"calls": 2, "estimated": 1, "input": 10, "output": 20, "cache_write_1h": 5, "cache_write_5m": 1}
    for key in (
        keys.usage_of_session(session),
        keys.usage_of_session(session, run),
        keys.usage_of_user("ada", day),
    ):
        await rows.add(key, counts, cost=NANO // 4, held=NANO, anew=True)
    told = {
        **NOTHING,
        "costUsd": 0.25,
        "calls": 2,
        "estimatedCalls": 1,
        "inputTokens": 10,
        "outputTokens": 20,
        "cacheWrite5mTokens": 1,
        "cacheWrite1hTokens": 5,
    }
    expected = {**told, "budgetUsd": None, "runBudgetUsd": 0.5, "runs": [{"run": run, **told}]}
    assert await stack.get(path) == expected
    assert await stack.get("/api/usage") == {"day": day, **told, "budgetUsd": 500.0}
    assert await stack.get("/api/usage", user="eve") == {"day": day, **NOTHING, "budgetUsd": 500.0}

    # The demo agent's own word stays; another agent's gives way to the broker's count.
    messages = (await stack.get(f"/api/sessions/{session}/messages"))["messages"]
    assert messages[1]["meta"]["costUsd"] == 0
    app = stack.gateways[0].app
    app._state[SETTINGS] = replace(app[SETTINGS], agent="our-own")
    messages = (await stack.get(f"/api/sessions/{session}/messages"))["messages"]
    assert messages[1]["meta"]["costUsd"] == 0.25
    assert messages[1]["meta"]["usage"] == {
        "input_tokens": 10,
        "output_tokens": 20,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 6,
    }
    assert "costUsd" not in messages[0]["meta"]
