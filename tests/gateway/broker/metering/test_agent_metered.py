"""The real agent through a broker that counts and cuts: unchanged while there is money, then with a sentence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.broker.metering.prices import USD
from gateway.store import keys
from gateway.store.usage import Used, day_of
from gateway.web.request.app_keys import STORE
from tests.gateway.broker.agent_stack import LONG, agent_stack
from tests.gateway.broker.metering.rows import eventually
from tests.gateway.stack import Stack, assert_whole, numbered, text_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest_asyncio.fixture
async def stack(
    dynamodb_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stack]:
    monkeypatch.delenv("CLAUDECODE", raising=False)
    async with agent_stack(dynamodb_endpoint, tmp_path, budget_run_usd=0.1) as (stack, _):
        yield stack


async def used(stack: Stack, session: str, run: str = "") -> Used:
    return await stack.gateways[0].app[STORE].usage.get(keys.usage_of_session(session, run))


def kinds(frames: list[dict[str, Any]]) -> list[str]:
    return [frame["type"] for frame in frames]


async def test_the_real_agent_is_counted_and_a_budget_of_ten_cents_cuts_it_in_mid_stream(
    stack: Stack,
) -> None:
    session = await stack.session()
    frames = await stack.ask(
        session, "Create a file called test.txt in /workspace with 'Hello from WS streaming'"
    )
    assert_whole(frames)
    assert frames[-1]["reason"] == "completed"
    assert {"tool-start", "tool-result", "done"} <= set(kinds(frames))
    assert not {"budget", "error"} & set(kinds(frames))
    run = numbered(frames)[0]["run"]

    async def counted() -> bool:
        found = await used(stack, session, run)
        # The fake tells 100 and 20 of each call.
        calls = found.counts.get("calls", 0)
        tokens = (found.counts.get("input"), found.counts.get("output"))
        return calls >= 2 and tokens == (100 * calls, 20 * calls) and found.held == found.cost

    await eventually(counted)
    spent = (await used(stack, session, run)).cost

    frames = await stack.ask(session, LONG)
    assert_whole(frames, "failed")
    text = text_of(frames)
    assert "Sentence piece 100" in text, "what was paid for is shown"
    assert "Sentence piece 399" not in text, "the rest is not"
    told = [frame for frame in frames if frame["type"] == "budget"]
    assert [(frame["scope"], frame["limitUsd"]) for frame in told] == [("run", 0.1)]
    errors = [frame for frame in frames if frame["type"] == "error"]
    assert errors[0]["code"] == "budget-exceeded"
    assert errors[0]["error"] == "This run's budget of $0.10 is used up: send another prompt to go on."
    cut = numbered(frames)[0]["run"]
    assert frames[-1]["type"] == "process-exit"

    async def settled() -> bool:
        found = await used(stack, session, cut)
        return found.held == found.cost > 0

    await eventually(settled)
    found = await used(stack, session, cut)
    a_delta = 25_000 * (38 // 3 + 1)
    assert 0.1 * USD <= found.cost <= 0.1 * USD + a_delta

    # The page's own routes say the same.
    told_usage = await stack.get(f"/api/sessions/{session}/usage")
    assert told_usage["costUsd"] * USD == pytest.approx(spent + found.cost)
    assert {row["run"] for row in told_usage["runs"]} == {run, cut}
    today = await stack.get("/api/usage")
    assert (today["day"], today["budgetUsd"]) == (day_of(time.time()), 500.0)
    assert today["costUsd"] >= told_usage["costUsd"]
    async with asyncio.timeout(30):
        while len(messages := (await stack.get(f"/api/sessions/{session}/messages"))["messages"]) < 4:
            await asyncio.sleep(0.1)
    assert messages[1]["meta"]["costUsd"] * USD == pytest.approx(spent)
    assert messages[3]["meta"]["error"]["code"] == "budget-exceeded"
    assert messages[3]["meta"]["costUsd"] * USD == pytest.approx(found.cost)

    # The next run has a budget of its own.
    again = await stack.ask(session, "echo hello")
    assert again[-1]["reason"] == "completed"
