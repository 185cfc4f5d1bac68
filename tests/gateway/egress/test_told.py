"""Who is told of blocked hosts, and that nobody waits for another's sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.egress.policy import Blocked
from gateway.egress.told import WAITING, Told
from tests.gateway.fakes import until


class Bench:
    """`slow`: sessions whose sandboxes take it when `go` is set."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, bool]] = []
        self.slow: set[str] = set()
        self.bad: set[str] = set()
        self.go = asyncio.Event()
        self.told = Told(self.tell, asks=True)

    async def tell(self, session: str, host: str, why: Blocked, may: bool) -> None:
        if host in self.bad:
            raise RuntimeError("a fault")
        if session in self.slow:
            await self.go.wait()
        self.said.append((session, host, may))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.told.close()


async def test_each_host_of_a_burst_is_told_in_its_order_and_once(bench: Bench) -> None:
    hosts = [f"h{number}.example.com" for number in range(WAITING)]
    for host in hosts * 2:
        bench.told.blocked("s1", host, Blocked.HOST)
    await until(lambda: len(bench.said) == len(hosts))
    assert bench.said == [("s1", host, True) for host in hosts]


async def test_a_slow_sandbox_holds_up_nobody_else_and_keeps_so_much_waiting(bench: Bench) -> None:
    bench.slow = {f"slow{number}" for number in range(100)}
    for session in sorted(bench.slow):
        for number in range(WAITING + 50):
            bench.told.blocked(session, f"h{number}.example.com", Blocked.HOST)
            if not number:
                await asyncio.sleep(0)  # the first is being told, and waits no more
    bench.told.blocked("s1", "own.example.com", Blocked.ADDRESS)
    await until(lambda: bool(bench.said))
    assert bench.said == [("s1", "own.example.com", False)]
    bench.go.set()
    await until(lambda: len(bench.said) == 1 + 100 * (WAITING + 1))
    assert not bench.told._waiting


async def test_what_cannot_be_told_leaves_the_next_its_turn(bench: Bench) -> None:
    bench.bad = {"a.example.com"}
    for host in ("a.example.com", "b.example.com"):
        bench.told.blocked("s1", host, Blocked.HOST)
    await until(lambda: bool(bench.said))
    assert bench.said == [("s1", "b.example.com", True)]
