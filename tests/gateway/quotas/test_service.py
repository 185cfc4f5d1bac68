"""What is asked of a store before something is done for somebody."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import QuotaReached, RateLimited
from gateway.quotas import counter, rules, service
from gateway.quotas.service import Quotas
from gateway.store.quotas import Held, Reached
from tests.conftest import settings_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.store.quotas import Rate


class Counting:
    """A store that takes its time over everything."""

    def __init__(self, held: Held | None = None, seconds: float = 0.0) -> None:
        self.held = held or Held(0, 0)
        self.seconds = seconds
        self.walks = 0
        self.units = 0

    async def count(
        self, rate: Rate, amounts: Mapping[str, int], *, now: float, always: bool = False
    ) -> Reached | None:
        if not always and self.units + sum(amounts.values()) > rate.limits[0].most:
            return Reached(rate.limits[0], rate.limits[0].ends(now) - now)
        self.units += sum(amounts.values())
        return None

    async def give_back(self, _rate: Rate, amounts: Mapping[str, int], *, counted_at: float) -> None:
        self.units -= sum(amounts.values())

    async def held_by(self, _owner: str, *, most: int = 0, stored: int = 0) -> Held:
        self.walks += 1
        await asyncio.sleep(self.seconds)
        return self.held


def quotas(store: Any, **limits: Any) -> Quotas:
    settings = settings_for("http://nowhere.invalid", "none")
    return Quotas(replace(settings, **{"sessions_per_hour": 0, **limits}), store)


class TestSession:
    async def test_counting_many_sessions_takes_longer_than_counting_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(counter, "SECONDS", 0.01)
        slow = Counting(Held(5, 0, whole=False), seconds=0.1)
        with pytest.raises(QuotaReached, match="You have 5 sessions or more and may keep 5"):
            await quotas(slow, sessions_per_user=5).session("ada")

    async def test_the_rate_is_asked_first_and_given_back(self) -> None:
        store = Counting(Held(5, 0))
        asked = quotas(store, sessions_per_user=5, sessions_per_hour=1)
        for _ in range(3):
            with pytest.raises(QuotaReached):
                await asked.session("ada")
        assert (store.units, store.walks) == (0, 3)
        store.units = 1
        with pytest.raises(RateLimited):
            await asked.session("ada")
        assert store.walks == 3

    async def test_a_crowd_of_one_user_is_counted_together(self) -> None:
        store = Counting(Held(5, 0), seconds=0.05)
        asked = quotas(store, sessions_per_user=5)
        answers = await asyncio.gather(*(asked.session("ada") for _ in range(50)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {QuotaReached}
        assert store.walks <= 2


class TestClose:
    async def test_what_is_counted_beside_is_waited_for(self) -> None:
        store = Counting()
        asked = quotas(store, model_mb_per_day=1)
        asked.add_later(rules.model_calls(asked._settings, "ada"), "bytes", 7)
        await asked.close()
        assert store.units == 7

    async def test_a_store_that_is_silent_holds_nobody_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "CLOSE_SECONDS", 0.01)

        async def silent(*_: Any, **__: Any) -> None:
            await asyncio.Event().wait()

        store = Counting()
        monkeypatch.setattr(store, "count", silent)
        asked = quotas(store, model_mb_per_day=1)
        asked.add_later(rules.model_calls(asked._settings, "ada"), "bytes", 7)
        async with asyncio.timeout(30):
            await asked.close()
