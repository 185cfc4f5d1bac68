"""`record` waits for nobody; what it takes is written once, in one chain, or told as lost."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from contextlib import suppress

import pytest

from gateway.audit import ledger
from gateway.audit.chain import Block, Head, Verifier, canonical
from gateway.audit.events import Sampler
from gateway.audit.ledger import BLOCK_EVENTS, WAITING, Audit
from gateway.errors import StoreUnavailable
from tests.container.conftest import eventually


class Rows:
    """Blocks in memory. `away`: nothing is taken. `deaf`: so many answers are lost though the block was taken."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.away = False
        self.deaf = 0

    async def head(self) -> Head:
        if self.away:
            raise StoreUnavailable("away")
        last = self.blocks[-1] if self.blocks else None
        return Head() if last is None else Head(last.day, last.number, last.hash)

    async def append(self, block: Block, *, expires_at: int) -> bool:
        assert expires_at > time.time()
        if self.away:
            raise StoreUnavailable("away")
        if any(known.hash == block.hash for known in self.blocks):
            return True
        if (await self.head()).hash != block.previous:
            return False
        self.blocks.append(block)
        if self.deaf:
            self.deaf -= 1
            raise StoreUnavailable("no answer")
        return True

    def kinds(self) -> list[str]:
        return [str(event["kind"]) for block in self.blocks for event in block.events]

    def faults(self) -> list[str]:
        verifier = Verifier()
        return [fault for block in self.blocks for fault in verifier.take(block)]


def audit(rows: Rows, gateway: str = "g1") -> Audit:
    return Audit(rows, gateway=gateway, secret="s" * 32, days=365)


async def test_what_is_recorded_is_written_in_its_order() -> None:
    rows = Rows()
    one = audit(rows)
    one.record("sign-in", who="ada", address="10.0.0.1")
    one.record("run-stop", who="ada", session="s1", run="r1")
    assert rows.blocks == []
    await one.flush()
    [block] = rows.blocks
    assert [(event["kind"], event["who"]) for event in block.events] == [
        ("sign-in", "ada"),
        ("run-stop", "ada"),
    ]
    assert (one.recorded, one.waiting, one.lost) == (2, 0, 0)


async def test_it_is_written_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "WRITE_SECONDS", 0.01)
    rows = Rows()
    one = audit(rows)
    writing = asyncio.create_task(one.write_forever())
    one.record("a")
    await eventually(lambda: rows.kinds() == ["a"])
    one.record("b")
    await eventually(lambda: rows.kinds() == ["a", "b"])
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


async def test_many_are_several_blocks() -> None:
    rows = Rows()
    one = audit(rows)
    for number in range(2 * BLOCK_EVENTS + 1):
        one.record(f"k{number}")
    await one.flush()
    assert [len(block.events) for block in rows.blocks] == [BLOCK_EVENTS, BLOCK_EVENTS, 1]
    assert rows.kinds() == [f"k{number}" for number in range(2 * BLOCK_EVENTS + 1)]
    assert rows.faults() == []


async def test_gateways_that_write_at_once_make_one_chain() -> None:
    rows = Rows()
    gateways = [audit(rows, f"g{number}") for number in range(5)]
    for _ in range(4):
        for number, one in enumerate(gateways):
            one.record(f"k{number}")
        await asyncio.gather(*(one.flush() for one in gateways))
    assert sorted(rows.kinds()) == sorted(f"k{number}" for number in range(5) for _ in range(4))
    assert rows.faults() == []


async def test_while_the_store_is_away_events_wait_and_nobody_with_them() -> None:
    rows = Rows()
    rows.away = True
    one = audit(rows)
    one.record("a")
    with pytest.raises(StoreUnavailable):
        await one.flush()
    one.record("b")  # it is no coroutine: who records waits for nothing
    assert (one.waiting, one.recorded) == (2, 0)
    rows.away = False
    await one.flush()
    assert rows.kinds() == ["a", "b"]


async def test_a_block_whose_answer_was_lost_is_there_once() -> None:
    rows = Rows()
    one, other = audit(rows), audit(rows, "g2")
    rows.deaf = 1
    one.record("a")
    with suppress(StoreUnavailable):
        await one.flush()
    other.record("b")  # and another gateway goes on behind it
    await other.flush()
    one.record("c")
    await one.flush()
    assert rows.kinds() == ["a", "b", "c"]
    assert rows.faults() == []


async def test_what_the_store_never_takes_is_counted_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    rows = Rows()
    rows.away = True
    one = audit(rows)
    one.record("session-delete", who="ada", session="s1")
    with caplog.at_level(logging.ERROR):
        await one.close()
        await one.close()
    assert (one.lost, one.waiting) == (1, 0)
    [line] = [record.getMessage() for record in caplog.records if "not kept" in record.getMessage()]
    told = json.loads(line.partition("not kept: ")[2])
    assert (told["kind"], told["who"], told["session"]) == ("session-delete", "ada", "s1")


async def test_no_more_wait_than_there_is_room_for(caplog: pytest.LogCaptureFixture) -> None:
    one = audit(Rows())
    one._acts = Sampler(each=10**9, most=10**9)
    with caplog.at_level(logging.CRITICAL):
        for _ in range(WAITING + 7):
            one.record("a")
    assert (one.waiting, one.lost) == (WAITING, 7)


async def test_a_flood_of_refusals_fills_nothing_and_is_counted() -> None:
    rows = Rows()
    now = 1000.0
    one = Audit(rows, gateway="g1", secret="s" * 32, days=365, clock=lambda: now)
    rows_append = rows.append

    async def append(block: Block, *, expires_at: int) -> bool:
        return await rows_append(block, expires_at=expires_at + 10**10)

    rows.append = append  # type: ignore[method-assign]
    for number in range(50_000):
        one.record("refused", address=f"10.0.{number % 200}.{number % 7}", outcome="unauthorized")
    await one.flush()
    first = len(rows.kinds())
    now += 61
    await one.flush()
    events = [event for block in rows.blocks for event in block.events]
    assert first == ledger.REFUSALS
    assert len(events) < 400
    assert sum(event.get("count", 1) for event in events) == 50_000


async def test_a_fault_of_the_writing_ends_no_writing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ledger, "WRITE_SECONDS", 0.01)
    rows = Rows()
    one = audit(rows)
    faults = [RuntimeError("odd")]
    append = rows.append

    async def faulty(block: Block, *, expires_at: int) -> bool:
        if faults:
            raise faults.pop()
        return await append(block, expires_at=expires_at)

    monkeypatch.setattr(rows, "append", faulty)
    writing = asyncio.create_task(one.write_forever())
    one.record("a")
    await eventually(lambda: rows.kinds() == ["a"])
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert "1 events are not written" in caplog.text


async def test_a_close_that_is_cut_short_loses_nothing_silently(caplog: pytest.LogCaptureFixture) -> None:
    rows = Rows()

    async def stuck() -> Head:
        await asyncio.Event().wait()
        raise AssertionError

    rows.head = stuck  # type: ignore[method-assign]
    one = audit(rows)
    one.record("a", who="ada")
    closing = asyncio.create_task(one.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    assert (one.lost, one.waiting) == (1, 0)
    assert '"who":"ada"' in caplog.text


async def test_no_text_from_outside_stops_the_writing() -> None:
    """JSON can name half a character, and a token's `sub` is JSON."""
    rows = Rows()
    one = audit(rows)
    one.record("sign-in", who="half \ud800", address="\udcff", run="\udfff")
    await one.flush()
    [event] = [event for block in rows.blocks for event in block.events]
    assert (event["who"], event["address"], event["run"]) == ("half ?", "?", "?")
    assert rows.faults() == []


async def test_a_block_fits_into_an_item_whatever_its_events_say() -> None:
    rows = Rows()
    one = audit(rows)
    texts = {f"d{number}": chr(0x10000 + number) * 256 for number in range(8)}
    for _ in range(BLOCK_EVENTS):
        one.record("a", who="\U0001f600" * 256, session="\U0001f600" * 256, outcome="x" * 256, **texts)
    await one.flush()
    assert len(rows.kinds()) == BLOCK_EVENTS
    assert max(len(canonical(block.json()).encode()) for block in rows.blocks) < 200 * 1024
    assert rows.faults() == []


class LateRows(Rows):
    """A store whose answers are lost, refused, or come while the work is done only later; all of it by chance."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self._late: list[Block] = []

    async def append(self, block: Block, *, expires_at: int) -> bool:
        for _ in range(self._chance.randrange(3)):
            await asyncio.sleep(0)
        for late in [late for late in self._late if self._chance.random() < 0.5]:
            self._late.remove(late)
            with suppress(StoreUnavailable):
                await super().append(late, expires_at=expires_at)
        match self._chance.randrange(5):
            case 0:
                raise StoreUnavailable("refused")
            case 1:
                self._late.append(block)
                raise StoreUnavailable("no answer yet")
            case 2:
                self.deaf = 1
        return await super().append(block, expires_at=expires_at)


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_becomes_of_requests_each_event_is_in_one_chain_once(seed: int) -> None:
    chance = random.Random(seed)
    rows = LateRows(chance)
    now = 1_796_083_000.0
    gateways = [
        Audit(rows, gateway=f"g{number}", secret="s" * 32, days=10**5, clock=lambda: now)
        for number in range(3)
    ]
    wanted = []
    for step in range(15):
        now += chance.choice((-90_000.0, 1.0, 30.0, 90_000.0))  # days pass, and clocks are put back
        for number, one in enumerate(gateways):
            wanted.append(f"k{number}-{step}")
            one.record(wanted[-1])
        await asyncio.gather(*(one.flush() for one in gateways), return_exceptions=True)
    while any(one.waiting for one in gateways):
        await asyncio.gather(*(one.flush() for one in gateways), return_exceptions=True)
    assert sorted(rows.kinds()) == sorted(wanted)
    assert rows.faults() == []
