"""Assembles what the agent is asked: the one place where a query and its environment are made."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.broker.credentials import keys_for, servers_of
from gateway.config import Settings
from gateway.model import Run
from gateway.prompt import strip_prefix
from gateway.runs.recording.seal import runs_on_this_machine
from gateway.store import Store


async def build_query(settings: Settings, store: Store, run: Run, prompt: str | None) -> dict[str, Any]:
    """The pending query of a run. `prompt` None: it is read from the store (a takeover).

    `env` is empty on purpose: what the agent needs of secrets it gets from the broker, by the sandbox token that its
    container has; so one warm agent fits every query.
    """
    session, user, message = await asyncio.gather(
        store.get_session(run.session),
        store.get_settings(run.owner),
        _prompt(store, run, prompt),
    )
    keys = await keys_for(store, user)
    query: dict[str, Any] = {
        "run": run.id,
        "prompt": strip_prefix(message),
        "sessionId": run.session,
        "cwd": run.cwd,
        "env": {},
        "mode": run.mode.value,
        "model": settings.model,
        "mcpServers": servers_of(keys, run.owner, user, plain=not runs_on_this_machine(settings)),
        "sdkSessionId": session.sdk_session_id,
    }
    if run.author is not None:
        query["author"] = {"name": run.author.name, "email": run.author.email}
    return query


async def _prompt(store: Store, run: Run, prompt: str | None) -> str:
    if prompt is not None:
        return prompt
    message = await store.get_message(run.session, run.message)
    return message.content if message is not None else ""
