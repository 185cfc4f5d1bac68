"""Counting without resting on the store."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import RateLimited, StoreUnavailable, TooMany
from gateway.quotas import counter
from gateway.quotas.counter import Counter
from gateway.store.quotas import DAY, MINUTE, Limit, Rate, Reached

if TYPE_CHECKING:
    from collections.abc import Mapping

RATE = Rate("prompts", "ada", (Limit("prompts", 2, MINUTE, "You may send 2 prompts a minute"),))
NOON = 20_000.5 * DAY


class FewStore:
    """Takes `left` counts; `error`: raised in place of an answer."""

    def __init__(self, left: int = 0) -> None:
        self.left = left
        self.asked = 0
        self.error: Exception | None = None
        self.silent = False

    async def count(
        self, rate: Rate, amounts: Mapping[str, int], *, now: float, always: bool = False
    ) -> Reached | None:
        self.asked += 1
        if self.silent:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        if always or self.left >= amounts["prompts"]:
            self.left -= amounts["prompts"]
            return None
        return Reached(rate.limits[0], rate.limits[0].ends(now) - now)

    async def give_back(self, _rate: Rate, amounts: Mapping[str, int], *, counted_at: float) -> None:
        self.left += amounts["prompts"]


def counting(store: FewStore, now: list[float]) -> Counter:
    return Counter(store, lambda: now[0])  # type: ignore[arg-type]


async def test_a_flood_of_what_is_refused_asks_the_store_now_and_then() -> None:
    store, now = FewStore(), [NOON]
    wanted = counting(store, now)
    for _ in range(100):
        with pytest.raises(RateLimited, match="2 prompts a minute, and that is reached: try again in 60 s"):
            await wanted.take(RATE, {"prompts": 1})
    assert store.asked == 1
    now[0] += counter.HINT_SECONDS
    with pytest.raises(TooMany, match="in 58 s") as refused:
        await wanted.take(RATE, {"prompts": 1})
    assert (store.asked, refused.value.retry_after) == (2, 58)
    store.left = 1
    now[0] += counter.HINT_SECONDS
    await wanted.take(RATE, {"prompts": 1})


async def test_a_hint_ends_with_its_window() -> None:
    store, now = FewStore(), [NOON + 59.5]
    wanted = counting(store, now)
    with pytest.raises(RateLimited):
        await wanted.take(RATE, {"prompts": 1})
    store.left = 2
    now[0] += 0.5
    await wanted.take(RATE, {"prompts": 1})


async def test_hints_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counter, "HINTS", 3)
    store = FewStore()
    wanted = counting(store, [NOON])
    for number in range(10):
        with pytest.raises(RateLimited):
            await wanted.take(Rate("prompts", str(number), RATE.limits), {"prompts": 1})
    assert len(wanted._full) == 3


async def test_a_store_that_is_away_or_slow_refuses_nobody_and_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(counter, "SECONDS", 0.01)
    store = FewStore()
    wanted = counting(store, [NOON])
    store.error = StoreUnavailable("it is away")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await wanted.take(RATE, {"prompts": 1})
        store.error, store.silent = None, True
        await wanted.take(RATE, {"prompts": 1})
        await wanted.add(RATE, {"prompts": 1})
    assert [record.message for record in caplog.records] == ["quotas are not held: it is away"]


async def test_no_limits_ask_nobody() -> None:
    store = FewStore()
    wanted = counting(store, [NOON])
    free: Any = Rate("prompts", "ada", ())
    await wanted.take(free, {"prompts": 1})
    await wanted.add(free, {"prompts": 1})
    await wanted.give_back(free, {"prompts": 1}, NOON)
    assert store.asked == 0
