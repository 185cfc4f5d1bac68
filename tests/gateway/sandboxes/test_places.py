"""Places that are found, or not, while the driver is away: nobody is refused for it, and it is waited for once."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import QuotaReached, SandboxUnavailable
from gateway.model import Session
from gateway.sandboxes import places
from gateway.sandboxes.drivers import Sandbox, SandboxState
from gateway.sandboxes.places import SandboxPlaces
from gateway.store.quotas import Crowd
from tests.conftest import settings_for

if TYPE_CHECKING:
    from collections.abc import Sequence

SESSION = Session(id="s1", owner="ada", title="", created_at=1.0, updated_at=1.0)


class Driver:
    """Says that nothing runs; `error`: raised in place of that; `hangs`: it never does."""

    def __init__(self, error: Exception | None = None, *, hangs: bool = False) -> None:
        self.error = error
        self.hangs = hangs
        self.asked = 0

    async def status(self, session: str) -> Sandbox:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return Sandbox(session=session, state=SandboxState.ABSENT)

    async def list(self) -> Sequence[Sandbox]:
        return []


class FullStore:
    """Has no place for anybody."""

    async def owners(self, _sessions: Sequence[str]) -> dict[str, str]:
        return {}

    async def claim_place(self, _claim: Any, *, now: float) -> Crowd:
        return Crowd.USER


def finding(driver: Any) -> SandboxPlaces:
    store: Any = FullStore()
    settings = replace(settings_for("http://nowhere.invalid", "none"), sandboxes_per_user=1)
    return SandboxPlaces(settings, store, driver)


async def test_a_driver_that_hangs_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "CHECK_SECONDS", 0.01)
    driver = Driver(hangs=True)
    found = finding(driver)
    # A prompt's sandbox is woken, and its place asked for, at the same time.
    await asyncio.gather(found.claim(SESSION), found.claim(SESSION))
    await found.claim(SESSION)
    assert driver.asked == 1


@pytest.mark.parametrize(
    "error", [SandboxUnavailable("it is away"), KeyError("Id")], ids=["away", "at fault"]
)
async def test_a_driver_that_fails_refuses_nobody(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        await finding(Driver(error)).claim(SESSION)
    (record,) = caplog.records
    assert "session s1: its sandbox is not counted" in record.message
    assert bool(record.exc_info) == isinstance(error, KeyError)


async def test_who_is_refused_is_asked_about_again() -> None:
    driver = Driver()
    found = finding(driver)
    for _ in range(2):
        with pytest.raises(QuotaReached, match="You have 1 sandboxes running"):
            await found.claim(SESSION)
    assert driver.asked == 2
