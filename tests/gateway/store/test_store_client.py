"""The table's client: what is promised while DynamoDB is silent, without one."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from gateway.errors import StoreUnavailable
from gateway.store import client
from gateway.store.client import Table


async def test_an_operation_is_given_up_in_time_also_while_it_waits_for_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "THREADS", 1)
    monkeypatch.setattr(client, "LEAST_SECONDS", 0.05)
    release = threading.Event()

    class Silent:
        def get_item(self, **_: Any) -> dict[str, Any]:
            release.wait(50)
            return {}

    table = Table("t", seconds=0.1)
    table._client = Silent()
    try:
        async with asyncio.timeout(30):
            answers = await asyncio.gather(*(table.get(("a", "b")) for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
    finally:
        release.set()
        table._threads.shutdown(wait=True)


async def test_a_table_that_is_closed_is_away() -> None:
    table = Table("t", seconds=5)

    class Failing:
        def get_item(self, **_: Any) -> dict[str, Any]:
            loop.call_soon_threadsafe(table.close)  # before the next attempt
            raise EndpointConnectionError(endpoint_url="nowhere")

        def close(self) -> None: ...

    loop = asyncio.get_running_loop()
    table._client = Failing()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="not open"):
            await table.get(("a", "b"))
