"""The disk as a gateway knows it: prompts are refused with a sentence while it is low, and then taken again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway import errors
from gateway.sandboxes import disk as module
from gateway.sandboxes.disk import DiskGauge
from gateway.sandboxes.drivers import Disk
from gateway.web.request.app_keys import DISK

if TYPE_CHECKING:
    from tests.gateway.stack import Stack

LOW = Disk(low=True, free_bytes=5, reserve_bytes=10, free_inodes=7, reserve_inodes=3, over=2)


class Teller:
    """A driver that tells of its disk, or cannot."""

    def __init__(self, disk: Disk) -> None:
        self.told: Disk | None = disk

    async def disk(self) -> Disk:
        if self.told is None:
            raise errors.SandboxUnavailable("The launcher does not answer.")
        return self.told


async def test_it_is_asked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    teller = Teller(LOW)
    gauge = DiskGauge(teller)
    gauge.refuse_new()  # nothing is known yet
    assert gauge.figures() == {}
    looking = asyncio.create_task(gauge.look_forever())
    try:
        async with asyncio.timeout(10):
            while gauge.disk != LOW:
                await asyncio.sleep(0.01)
            with pytest.raises(errors.DiskLow, match="nearly full"):
                gauge.refuse_new()
            assert gauge.figures() == {
                "low": True,
                "freeBytes": 5,
                "reserveBytes": 10,
                "freeInodes": 7,
                "reserveInodes": 3,
                "overQuota": 2,
            }
            teller.told = Disk(low=False, reserve_bytes=10)
            while gauge.disk != teller.told:
                await asyncio.sleep(0.01)
        gauge.refuse_new()
    finally:
        looking.cancel()
        await asyncio.wait([looking])


async def test_what_was_told_long_ago_refuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(module, "KNOWN_SECONDS", 0.2)
    teller = Teller(LOW)
    gauge = DiskGauge(teller)
    looking = asyncio.create_task(gauge.look_forever())
    try:
        async with asyncio.timeout(10):
            while not gauge.disk.low:
                await asyncio.sleep(0.01)
            teller.told = None
            while gauge.figures():
                await asyncio.sleep(0.01)
        gauge.refuse_new()
    finally:
        looking.cancel()
        await asyncio.wait([looking])


async def test_a_prompt_on_a_disk_without_room_is_refused_and_costs_nothing(stack: Stack) -> None:
    """A prompt that was admitted before is answered all the same, when it is sent again."""
    gateway = stack.gateways[0]
    assert gateway.app[DISK] is None  # processes on this host: nobody looks after its disk
    session = await stack.session()
    first = await stack.ask(session, "count to 2", messageId="m1")
    assert first[-1]["type"] == "process-exit"
    gauge = DiskGauge(Teller(LOW))
    gateway.runs.refuse_new = gauge.refuse_new
    looking = asyncio.create_task(gauge.look_forever())
    try:
        async with asyncio.timeout(10):
            while not gauge.disk.low:
                await asyncio.sleep(0.01)
        body = {"sessionId": session, "prompt": "count to 2"}
        url = f"{stack.url}/api/sdk/stream"
        async with stack.http.post(url, json=body, headers=stack.headers()) as answer:
            assert answer.status == 507
            told = await answer.json()
        assert told["code"] == "disk-low"
        assert "make room" in told["error"]
        again = await stack.ask(session, "count to 2", messageId="m1")
        assert [frame["type"] for frame in again if "seq" in frame] == [
            frame["type"] for frame in first if "seq" in frame
        ]
        health = await stack.get("/api/health")
        assert health["prompts"]["refused"] == 1
    finally:
        looking.cancel()
        await asyncio.wait([looking])
    gateway.runs.refuse_new = lambda: None
    assert (await stack.ask(session, "count to 2"))[-1]["type"] == "process-exit"
