"""The real agent, whose calls go through a gateway's broker to the fake of the model's API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.broker.model_api import build_broker
from gateway.serve import broker_listener
from gateway.web.request.app_keys import CLIENT, DRIVER, STATS, STORE
from tests import fake_model_api
from tests.conftest import free_port
from tests.gateway.stack import Stack

MODEL = "claude-opus-4-6"
"""$5 and $25 for a million tokens."""

LONG = "Give me a detailed explanation"
"""About 400 deltas of 38 bytes: some $0.13."""


@asynccontextmanager
async def agent_stack(
    dynamodb_endpoint: str, folder: Path, **changes: Any
) -> AsyncIterator[tuple[Stack, list[dict[str, Any]]]]:
    """A gateway with its broker, and the bodies that the API was asked with. Unset CLAUDECODE before."""
    api = fake_model_api.build_app()
    model = TestServer(api)
    await model.start_server()
    settings = {
        "agent": "claude",
        "model": MODEL,
        "model_api_url": str(model.make_url("")).rstrip("/"),
        "model_api_key": "the-real-key",
        "broker_port": free_port(),
        "start_seconds": 120.0,
        "lease_seconds": 600.0,
        **changes,
    }
    async with Stack(dynamodb_endpoint, f"t{uuid4().hex}", folder, **settings) as stack:
        gateway = stack.gateways[0]
        broker = broker_listener(
            stack.settings,
            build_broker(
                stack.settings,
                gateway.app[STORE],
                gateway.app[CLIENT],
                tell=gateway.runs.signals.notice,
                look=gateway.app[DRIVER].status,
            ),
            gateway.app[STATS].turned_away,
        )
        await broker.setup()
        await web.TCPSite(broker, "127.0.0.1", stack.settings.broker_port).start()
        try:
            yield stack, api[fake_model_api.REQUESTS]
        finally:
            await broker.cleanup()
    await model.close()
