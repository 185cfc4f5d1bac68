"""Answers with what they cost by the broker's own count, in place of the agent's word."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.store import keys
from gateway.store.usage import NANO
from gateway.web.request.app_keys import SETTINGS, STORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from gateway.model import Message
    from gateway.store.usage import Used


async def metered(app: web.Application, session: str, messages: Sequence[Message]) -> list[Message]:
    """The messages; answers whose calls the broker has counted with that count, in place of the agent's own word."""
    wanted = {
        message.run: keys.usage_of_session(session, message.run)
        for message in messages
        if message.role == "assistant" and message.run
    }
    if not wanted or app[SETTINGS].agent == "demo":
        return list(messages)
    found = await app[STORE].usage.get_many(list(wanted.values()))
    used = {run: found[key] for run, key in wanted.items() if key in found}
    return [
        replace(message, meta={**message.meta, **_meta(used[message.run])})
        if message.role == "assistant" and message.run in used
        else message
        for message in messages
    ]


def _meta(used: Used) -> dict[str, Any]:
    """`usage` with the API's own names, and `costUsd`."""
    counts = used.counts
    return {
        "usage": {
            "input_tokens": counts.get("input", 0),
            "output_tokens": counts.get("output", 0),
            "cache_read_input_tokens": counts.get("cache_read", 0),
            "cache_creation_input_tokens": counts.get("cache_write_5m", 0) + counts.get("cache_write_1h", 0),
        },
        "costUsd": used.cost / NANO,
    }
