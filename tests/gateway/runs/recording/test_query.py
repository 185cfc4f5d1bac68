"""What the agent is asked: the owner's MCP servers, opened."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.broker.credentials import encrypt_servers
from gateway.model import Author, Mode, NewRun, OnBusy, Session
from gateway.runs.recording.query import build_query

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.store.dynamo import DynamoStore


async def test_servers_reach_the_agent_with_their_secrets(
    store: DynamoStore, store_settings: Settings
) -> None:
    servers = {"docs": {"type": "http", "url": "https://docs.example", "headers": {"X-Key": "secret"}}}
    stored = encrypt_servers(await store.credential_keys(), "ada", servers)
    await store.put_settings("ada", {"mcpServers": stored})
    now = time.time()
    await store.create_session(Session(id="s1", owner="ada", title="", created_at=now, updated_at=now))
    new = NewRun(
        id="r1",
        session="s1",
        owner="ada",
        message="m1",
        prompt="[command:/plan] hi",
        mode=Mode.PLAN,
        cwd="/workspace",
        created_at=now,
        author=Author(name="Ada", email="ada@example.com"),
    )
    admission = await store.create_run(
        new, on_busy=OnBusy.QUEUE, queue_limit=8, gateway="test", lease_seconds=60
    )
    assert await build_query(store_settings, store, admission.run, None) == {
        "run": "r1",
        "prompt": "hi",
        "sessionId": "s1",
        "cwd": "/workspace",
        "env": {},
        "mode": "plan",
        "model": "",
        "mcpServers": servers,
        "sdkSessionId": "",
        "author": {"name": "Ada", "email": "ada@example.com"},
    }
