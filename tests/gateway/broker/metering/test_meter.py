"""Calls side by side against their budgets: what is refused, cut, told and counted."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.broker.metering import shares
from gateway.broker.metering.budget import SLICE, budgets_of, dollars, refuses_unknown
from gateway.broker.metering.meter import Meter
from gateway.broker.metering.metered_call import MeteredCall
from gateway.broker.metering.prices import USD
from gateway.config import Settings
from gateway.errors import BudgetExceeded, ModelUnpriced, StoreUnavailable, TooMany
from gateway.model import Session
from gateway.store import keys
from gateway.store.usage import Used
from tests.conftest import settings_for
from tests.gateway.broker.metering.rows import Rows

NOON = 1_795_780_800.0
"""2026-11-27, 12:00 UTC."""

MODEL = "claude-opus-4-6"
"""$5 and $25 for a million tokens."""

SESSION = Session(id="s1", owner="ada", title="", created_at=0, updated_at=0, active_run="r1")
RUN, ALL = keys.usage_of_session("s1", "r1"), keys.usage_of_session("s1")
USER, STACK = keys.usage_of_user("ada", "2026-11-27"), keys.usage_of_stack("2026-11-27")


class Bench:
    def __init__(self, **changes: Any) -> None:
        none = {"budget_user_day_usd": 0.0, "budget_stack_day_usd": 0.0}
        self.settings: Settings = replace(settings_for("", "none"), **{**none, **changes})
        self.rows = Rows()
        self.told: list[dict[str, Any]] = []
        self.meter = Meter(self.settings, self.rows.store, self.tell, lambda: NOON)

    async def tell(self, session: str, run: str, frame: dict[str, Any]) -> None:
        assert (session, run) == ("s1", "r1")
        self.told.append(frame)

    async def begin(self, *, session: Session = SESSION, model: str = MODEL, size: int = 300) -> MeteredCall:
        call = await self.meter.begin(session, [model], size)
        call.answered(200, "text/event-stream")
        return call

    async def settled(self) -> None:
        while self.meter._tasks:
            await asyncio.wait(self.meter._tasks)
        await asyncio.sleep(0)


def start(tokens: int = 1000, **more: Any) -> bytes:
    usage = {"input_tokens": tokens, "output_tokens": 1, **more}
    return event({"type": "message_start", "message": {"model": MODEL, "usage": usage}})


def delta(tokens: int) -> bytes:
    return event({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x" * 3 * tokens}})


def end(tokens: int) -> bytes:
    return event({"type": "message_delta", "usage": {"output_tokens": tokens}})


def event(value: dict[str, Any]) -> bytes:
    return f"event: {value['type']}\ndata: {json.dumps(value)}\n\n".encode()


async def pass_on() -> None:
    """Let what is told to the store be told."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_call_is_counted_for_its_run_session_user_and_stack() -> None:
    bench = Bench()
    call = await bench.begin()
    for chunk in (start(1000, cache_read_input_tokens=2000), delta(5), end(10)):
        assert call.passed(chunk) == (chunk, None)
    call.end()
    call.end()
    await bench.settled()
    cost = 1000 * 5000 + 2000 * 500 + 10 * 25_000
    expected = Used(cost, cost, {"calls": 1, "input": 1000, "output": 10, "cache_read": 2000})
    assert {key: bench.rows.used(key) for key in bench.rows.items} == dict.fromkeys(
        (RUN, ALL, USER, STACK), expected
    )
    assert bench.told == []


async def test_without_a_run_the_rest_is_counted() -> None:
    bench = Bench()
    call = await bench.begin(session=replace(SESSION, active_run=None))
    call.passed(start() + end(1))
    call.end()
    await bench.settled()
    assert set(bench.rows.items) == {ALL, USER, STACK}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("budget_run_usd", "This run's budget of $0.10 is used up: send another prompt to go on."),
        ("budget_session_usd", "This session's budget of $0.10 is used up: start another session"),
        (
            "budget_user_day_usd",
            "Your budget for a day of $0.10 is used up: it begins anew in 12 h (00:00 UTC)",
        ),
        ("budget_stack_day_usd", "Everybody's budget for a day of $0.10 is used up"),
    ],
)
async def test_each_budget_cuts_in_mid_stream_at_the_event_that_reaches_it_and_refuses_the_next_call(
    setting: str, words: str
) -> None:
    bench = Bench(**{setting: 0.1})
    call = await bench.begin()
    call.passed(start(10_000))  # $0.05
    passed, refusal = 0, None
    while refusal is None and passed < 100:
        passed += 1
        await pass_on()
        written, refusal = call.passed(delta(100))  # $0.0025 each
        assert written == delta(100)
    assert passed == 20
    assert refusal is not None
    assert words in refusal.message
    call.end()
    await bench.settled()
    assert bench.rows.used(USER).cost == pytest.approx(0.1 * USD, abs=0.0025 * USD)
    assert bench.rows.used(USER).counts["estimated"] == 1
    assert bench.told[-1] == {"type": "error", **refusal.body()}
    with pytest.raises(BudgetExceeded):
        await bench.begin()
    await bench.settled()
    assert [frame["type"] for frame in bench.told] == ["budget", "error"], "each is told once"
    assert bench.rows.used(RUN).counts["calls"] == 1


async def test_what_crosses_it_in_one_usage_event_ends_behind_that_event() -> None:
    bench = Bench(budget_run_usd=0.1)
    call = await bench.begin()
    first = start(1_000_000)
    written, refusal = call.passed(first + delta(1)[:30])
    assert written == first
    assert refusal is not None


async def test_an_answer_that_has_told_its_end_is_not_cut() -> None:
    bench = Bench(budget_run_usd=0.1)
    call = await bench.begin()
    whole = start(1_000_000) + end(5)
    assert call.passed(whole) == (whole, None)


async def test_an_answer_that_is_no_stream_is_never_cut_and_counted() -> None:
    bench = Bench(budget_run_usd=0.1)
    call = await bench.begin()
    call.answered(200, "application/json")
    body = json.dumps({"model": MODEL, "usage": {"input_tokens": 1_000_000, "output_tokens": 2}}).encode()
    assert call.passed(body) == (body, None)
    call.end()
    await bench.settled()
    assert bench.rows.used(RUN).cost == 5 * USD + 50_000


async def test_a_cut_waits_for_the_events_end_but_not_for_ever() -> None:
    bench = Bench(budget_run_usd=0.1)
    call = await bench.begin()
    call.passed(start(1) + delta(1)[:40])
    call._shares._each[0].known = USD  # others have spent it meanwhile
    assert call.passed(delta(1)[40:50]) == (delta(1)[40:50], None)
    written, refusal = call.passed(delta(1)[50:] + b"event: x\n")
    assert (written, refusal is None) == (delta(1)[50:], False)
    endless = await Bench(budget_run_usd=0.1).begin()
    endless.passed(start(1) + b"data: ")
    endless._shares._each[0].known = USD
    answers = [endless.passed(b"x" * 60_000) for _ in range(6)]
    assert answers[-1][0] == b"\n\n"
    assert answers[-1][1] is not None


async def test_calls_side_by_side_do_not_all_pass_on_what_is_left() -> None:
    """$0.05 are left, each of ten calls would cost $0.10: one goes out, whichever gateway is asked."""
    bench = Bench(budget_user_day_usd=1.0)
    others = Meter(bench.settings, bench.rows.store, bench.tell, lambda: NOON)
    await bench.rows.add(USER, {}, cost=95 * USD // 100, held=95 * USD // 100)
    size = 3 * 20_000
    meters = [bench.meter, others] * 5
    answers = await asyncio.gather(
        *(meter.begin(SESSION, [MODEL], size) for meter in meters), return_exceptions=True
    )
    calls = [answer for answer in answers if isinstance(answer, MeteredCall)]
    refused = [answer for answer in answers if isinstance(answer, TooMany)]
    assert (len(calls), len(refused)) == (1, 9)
    assert refused[0].retry_after == 2
    await bench.settled()
    await pass_on()
    assert bench.rows.used(STACK).counts == {"calls": 1}, "what was refused holds nothing"
    assert bench.told == [], "what others hold is no budget that is used up"


async def test_fifty_streams_through_two_gateways_overshoot_by_a_slice_each_at_most() -> None:
    bench = Bench(budget_user_day_usd=1.0)
    others = Meter(bench.settings, bench.rows.store, bench.tell, lambda: NOON)
    calls = [await meter.begin(SESSION, [MODEL], 300) for meter in [bench.meter, others] * 25]
    for call in calls:
        call.answered(200, "text/event-stream")
        call.passed(start(1))
    live = list(calls)
    for _ in range(10_000):
        for call in list(live):
            if call.passed(delta(20))[1] is not None:
                call.end()
                live.remove(call)
        await pass_on()
        if not live:
            break
    await bench.settled()
    await asyncio.gather(*others._tasks)
    assert not live
    used = bench.rows.used(USER)
    assert USD <= used.cost <= USD + 50 * (SLICE + 20 * 25_000)
    assert used.held == used.cost
    with pytest.raises(BudgetExceeded):
        await others.begin(SESSION, [MODEL], 300)


async def test_answers_that_come_all_at_once_are_held_at_their_longest() -> None:
    """Nothing cuts them: of ten that may cost $0.80 each, with $1.00 left, two are let out."""
    bench = Bench(budget_user_day_usd=1.0)
    others = Meter(bench.settings, bench.rows.store, bench.tell, lambda: NOON)
    answers = await asyncio.gather(
        *(meter.begin(SESSION, [MODEL], 300, whole=32_000) for meter in [bench.meter, others] * 5),
        return_exceptions=True,
    )
    calls = [answer for answer in answers if isinstance(answer, MeteredCall)]
    assert (len(calls), sum(isinstance(answer, TooMany) for answer in answers)) == (2, 8)
    for call in calls:
        call.answered(200, "application/json")
        usage = {"input_tokens": 100, "output_tokens": 32_000}
        call.passed(json.dumps({"model": MODEL, "usage": usage}).encode())
        call.end()
    await bench.settled()
    await asyncio.gather(*others._tasks)
    assert bench.rows.used(USER).cost == 2 * (100 * 5000 + 32_000 * 25_000)


async def test_what_a_sandbox_asks_for_beyond_any_model_is_not_held() -> None:
    """It would be kept from everybody else's calls."""
    bench = Bench(budget_stack_day_usd=5000.0)
    await bench.meter.begin(SESSION, [MODEL], 32 * 1024 * 1024, whole=10**15)
    assert bench.rows.used(STACK).held == 1_000_000 * 5000 + 128_000 * 25_000 + SLICE


async def test_what_was_held_gives_way_to_what_it_costs_once_the_api_says_so() -> None:
    """A prompt that comes from the cache costs a tenth of what it might."""
    bench = Bench(budget_user_day_usd=1.0)
    call = await bench.begin(size=3 * 180_000)
    assert bench.rows.used(USER).held == 180_000 * 5000 + SLICE
    call.passed(start(0, cache_read_input_tokens=180_000))
    await pass_on()
    assert bench.rows.used(USER).held == 180_000 * 500 + 25_000 + SLICE
    assert bench.rows.used(USER).cost == 180_000 * 500 + 25_000
    call.passed(end(1))
    call.end()
    await bench.settled()
    assert bench.rows.used(USER).held == bench.rows.used(USER).cost


async def test_what_a_killed_gateway_held_is_taken_back_once_it_is_stale() -> None:
    bench = Bench(budget_user_day_usd=1.0)
    await bench.rows.add(USER, {}, cost=0, held=2 * USD)
    with pytest.raises(TooMany):
        await bench.begin()
    bench.rows.stale.add(USER)
    await bench.begin()
    assert bench.rows.used(USER).held == 100 * 5000 + SLICE


@pytest.mark.parametrize("status", [400, 429, 529])
async def test_what_the_api_refuses_costs_nothing(status: int) -> None:
    bench = Bench()
    call = await bench.begin()
    call.answered(status, "application/json")
    call.passed(b'{"type":"error"}')
    call.end()
    await bench.settled()
    assert bench.rows.used(RUN) == Used(0, 0, {"calls": 1})


async def test_what_the_api_never_answered_costs_nothing_but_who_hangs_up_pays() -> None:
    bench = Bench()
    failed = await bench.meter.begin(SESSION, [MODEL], 3000)
    failed.failed()
    failed.end()
    await bench.settled()
    assert bench.rows.used(RUN).cost == 0
    left = await bench.meter.begin(SESSION, [MODEL], 3000)
    left.end()
    await bench.settled()
    assert bench.rows.used(RUN) == Used(1000 * 5000, 1000 * 5000, {"calls": 2, "input": 1000, "estimated": 1})


async def test_soft_is_told_once_in_a_run_and_stops_nothing() -> None:
    bench = Bench(budget_run_usd=1.0, budget_soft_percent=50)
    for _ in range(3):
        call = await bench.begin()
        assert call.passed(start(50_000) + end(1))[1] is None  # $0.25
        call.end()
        await bench.settled()
    (frame,) = bench.told
    assert frame == {
        "type": "budget",
        "scope": "run",
        "text": "This run's budget of $1.00 is used up to $0.50.",
        "spentUsd": pytest.approx(0.50005),
        "limitUsd": 1.0,
    }


async def test_a_run_that_cannot_be_told_is_cut_all_the_same() -> None:
    bench = Bench(budget_run_usd=0.1)

    async def broken(*_: object) -> None:
        raise StoreUnavailable("gone")

    bench.meter._tell = broken
    call = await bench.begin()
    assert call.passed(start(1_000_000))[1] is not None
    call.end()
    await bench.settled()


# -- models without a price --
async def test_an_unknown_model_is_refused_or_free() -> None:
    bench = Bench(unknown_models="refuse", budget_run_usd=0.1)
    with pytest.raises(ModelUnpriced, match="modelPrices"):
        await bench.begin(model="new-model")
    await bench.settled()
    assert [frame["code"] for frame in bench.told] == ["model-unpriced"]
    with pytest.raises(ModelUnpriced, match="other-model"):
        await bench.meter.begin(SESSION, [MODEL, "other-model"], 10)
    bench = Bench(unknown_models="free", budget_run_usd=0.1)
    await bench.rows.add(RUN, {}, cost=USD, held=USD)
    call = await bench.begin(model="new-model")
    whole = event(
        {"type": "message_start", "message": {"model": "new-model", "usage": {"input_tokens": 7}}}
    ) + end(3)
    first, last = whole[: -len(end(3))], end(3)
    for chunk in (first, delta(100), last):
        assert call.passed(chunk) == (chunk, None)
        await pass_on()
    call.end()
    await bench.settled()
    assert bench.rows.used(RUN) == Used(USD, USD, {"calls": 1, "input": 7, "output": 3})


@pytest.mark.parametrize(
    ("url", "budget", "choice", "refused"),
    [
        ("https://api.anthropic.com", 1.0, "auto", True),
        ("https://api.anthropic.com", 0.0, "auto", False),
        ("http://127.0.0.1:9", 1.0, "auto", False),
        ("https://notanthropic.com", 1.0, "auto", False),
        ("https://api.anthropic.com", 1.0, "free", False),
        ("http://127.0.0.1:9", 0.0, "refuse", True),
    ],
)
def test_who_refuses_unknown_models(url: str, budget: float, choice: str, refused: bool) -> None:
    settings = Bench(model_api_url=url, budget_run_usd=budget, unknown_models=choice).settings
    assert refuses_unknown(settings) is refused


async def test_the_model_that_answers_sets_the_price() -> None:
    bench = Bench()
    call = await bench.begin(model="claude-haiku-4-5")
    call.passed(start(1000) + end(0))
    call.end()
    await bench.settled()
    assert bench.rows.used(RUN).cost == 1000 * 5000


# -- a store that is away --
async def test_without_the_store_calls_are_refused_where_there_is_a_budget_only() -> None:
    bench = Bench(budget_run_usd=1.0)
    bench.rows.away = True
    with pytest.raises(StoreUnavailable, match="cannot be counted"):
        await bench.begin()
    free = Bench()
    free.rows.away = True
    call = await free.begin()
    call.passed(start(1000) + end(4))
    call.end()
    await pass_on()
    free.rows.away = False
    await free.settled()
    assert free.rows.used(RUN).counts == {"calls": 1, "input": 1000, "output": 4}


async def test_what_goes_on_while_the_store_goes_away_is_cut_by_what_is_known_and_counted_later() -> None:
    bench = Bench(budget_run_usd=0.1)
    call = await bench.begin()
    bench.rows.away = True
    call.passed(start(10_000))
    refusals = [call.passed(delta(100))[1] for _ in range(20)]
    assert refusals[-1] is not None
    assert refusals[-2] is None
    call.end()
    await pass_on()
    assert bench.rows.used(RUN).cost == 0
    bench.rows.away = False
    await bench.settled()
    assert bench.rows.used(RUN).cost == bench.rows.used(STACK).cost == 10_000 * 5000 + 2000 * 25_000


async def test_a_slow_store_holds_up_no_bytes() -> None:
    bench = Bench(budget_run_usd=100.0)
    call = await bench.begin()
    bench.rows.slow = 0.05
    for chunk in (start(10), *[delta(1000)] * 50, end(5)):
        assert call.passed(chunk) == (chunk, None)
    call.end()
    await bench.settled()
    assert bench.rows.used(RUN).cost == 10 * 5000 + 5 * 25_000


async def test_who_goes_while_the_store_is_slow_leaves_nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(budget_run_usd=1.0)
    bench.rows.slow = 0.05
    leaving = asyncio.create_task(bench.begin())
    await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await bench.settled()
    monkeypatch.setattr(shares, "HOLD_SECONDS", 0.01)
    with pytest.raises(StoreUnavailable):
        await bench.begin()
    await bench.settled()
    assert {key: bench.rows.used(key) for key in bench.rows.items} == dict.fromkeys(bench.rows.items, Used())
    assert set(bench.rows.items) == {RUN, ALL, USER, STACK}


def test_a_day_is_utcs_and_money_is_told_in_dollars() -> None:
    bench = Bench()
    before, after = (budgets_of(bench.settings, SESSION, at) for at in (NOON, NOON + 12 * 3600))
    assert [budget.key for budget in before] == [RUN, ALL, USER, STACK]
    assert after[2].key == keys.usage_of_user("ada", "2026-11-28")
    assert (dollars(0), dollars(USD // 1000), dollars(1234 * USD)) == ("$0.00", "$0.0010", "$1,234.00")
