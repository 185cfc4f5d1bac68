"""The table's client: what is promised while DynamoDB is silent, without one."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

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
