"""What the model's API has been used for, by the broker's own count: a session's, and one's own of today."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from gateway.store import keys
from gateway.store.usage import NANO, day_of
from gateway.web.request.app_keys import AUTH, SETTINGS, STORE
from gateway.web.request.bodies import json_response
from gateway.web.request.owned import owned_session

if TYPE_CHECKING:
    from gateway.store.usage import Used

MOST_RUNS: Final = 100
"""Runs of a session that are told apart, the newest first."""


async def of_session(request: web.Request) -> web.Response:
    """`GET /api/sessions/{session}/usage`"""
    user = await request.app[AUTH].user(request)
    session = await owned_session(request.app, user, request.match_info["session"])
    rows, settings = request.app[STORE].usage, request.app[SETTINGS]
    total = await rows.get(keys.usage_of_session(session.id))
    runs = await rows.runs(session.id, limit=MOST_RUNS)
    return json_response(
        {
            **usage_json(total),
            "budgetUsd": settings.budget_session_usd or None,
            "runBudgetUsd": settings.budget_run_usd or None,
            "runs": [{"run": run, **usage_json(used)} for run, used in runs.items()],
        }
    )


async def of_day(request: web.Request) -> web.Response:
    """`GET /api/usage`"""
    user = await request.app[AUTH].user(request)
    day = day_of(time.time())
    used = await request.app[STORE].usage.get(keys.usage_of_user(user, day))
    budget = request.app[SETTINGS].budget_user_day_usd or None
    return json_response({"day": day, **usage_json(used), "budgetUsd": budget})


def usage_json(used: Used) -> dict[str, Any]:
    """What was used, as docs/protocol.md has it."""
    counts = used.counts
    return {
        "costUsd": used.cost / NANO,
        "calls": counts.get("calls", 0),
        "estimatedCalls": counts.get("estimated", 0),
        "inputTokens": counts.get("input", 0),
        "outputTokens": counts.get("output", 0),
        "cacheReadTokens": counts.get("cache_read", 0),
        "cacheWrite5mTokens": counts.get("cache_write_5m", 0),
        "cacheWrite1hTokens": counts.get("cache_write_1h", 0),
        "webSearches": counts.get("searches", 0),
    }
