"""The wiring: what is opened is closed, in order, and a full-size prompt fits into a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from container.protocol import MAX_PROMPT_CHARS
from gateway.app import MAX_LINE_BYTES, build_app
from gateway.errors import StoreUnavailable
from gateway.ids import new_id
from gateway.sandboxes.drivers.process import ProcessDriver
from gateway.store.dynamo import DynamoStore
from gateway.web.request.app_keys import CLIENT, RUNS
from tests.gateway.stack import Gateway, Stack, read_until, settings_for

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("character", ["x", "é", "漢", "😀"])
async def test_the_longest_prompt_in_the_url_becomes_a_run(stack: Stack, character: str) -> None:
    session = await stack.session()
    prompt = character * MAX_PROMPT_CHARS
    async with stack.connect(session, prompt=prompt, cwd="/workspace", mode="plan") as socket:
        await read_until(socket, "timing")
        messages = (await stack.get(f"/api/sessions/{session}/messages"))["messages"]
        assert [message["content"] for message in messages[:1]] == [prompt]
    await stack.post("/api/sdk/stop", {"sessionId": session})


async def test_a_longer_line_is_refused(stack: Stack) -> None:
    async with stack.http.get(f"{stack.url}/?{'x' * (MAX_LINE_BYTES + 1)}") as response:
        assert response.status == 400


def state(gateway: Gateway) -> tuple[bool, bool]:
    """(the client session is closed, the runs are drained)"""
    return gateway.app[CLIENT].closed, gateway.app[RUNS].draining


async def test_everything_closes_and_may_be_built_again(dynamodb_endpoint: str, tmp_path: Path) -> None:
    settings = settings_for(dynamodb_endpoint, f"test-{new_id()}")
    for _ in range(2):
        gateway = Gateway(settings, tmp_path)
        await gateway.start()
        assert state(gateway) == (False, False)
        await gateway.close()
        assert state(gateway) == (True, True)


async def test_a_store_that_is_not_there_fails_the_start(tmp_path: Path) -> None:
    settings = settings_for("http://127.0.0.1:9", "none")
    store = DynamoStore(settings, retry_seconds=1)
    runner = web.AppRunner(build_app(settings, store=store, driver=ProcessDriver(settings, tmp_path)))
    with pytest.raises(StoreUnavailable):
        await runner.setup()
    await runner.cleanup()


def test_building_opens_nothing(tmp_path: Path) -> None:
    settings = settings_for("http://127.0.0.1:9", "none")
    app = build_app(settings, store=DynamoStore(settings), driver=ProcessDriver(settings, tmp_path))
    assert CLIENT not in app
    assert RUNS not in app
