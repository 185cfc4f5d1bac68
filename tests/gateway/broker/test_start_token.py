"""Keys of one start: which are taken, for how long, and what the driver is asked."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from container.protocol import broker_token, sandbox_token
from gateway import errors
from gateway.broker import start_token
from gateway.broker.start_token import AWAY_SECONDS, FRESH_SECONDS, Starts
from gateway.sandboxes.drivers import Sandbox, SandboxState

SECRET = b"s" * 32


@pytest.fixture(autouse=True)
def _(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_token, "DOUBT_SECONDS", 0.02)


class Driver:
    """What a driver says, and how often it was asked."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: Counter[str] = Counter()
        self.state = SandboxState.RUNNING
        self.start = "one"
        self.away = False
        self.starts = Starts([b"o" * 32, SECRET], self.look, lambda: self.now)

    async def look(self, session: str) -> Sandbox:
        self.asked[session] += 1
        if self.away:
            raise errors.SandboxUnavailable("The launcher does not answer.")
        return Sandbox(session=session, state=self.state, start=self.start)

    async def takes(self, token: str) -> bool:
        try:
            return await self.starts.session_of(token) == "s1"
        except errors.Unauthorized:
            return False


def key(start: str, session: str = "s1") -> str:
    return broker_token(sandbox_token(SECRET, session), session, start)


OWN = sandbox_token(SECRET, "s1")


async def test_the_key_of_the_start_that_runs_is_taken_and_the_driver_asked_once() -> None:
    driver = Driver()
    assert all([await driver.takes(key("one")) for _ in range(9)])
    assert driver.asked == {"s1": 1}


@pytest.mark.parametrize("state", [SandboxState.STOPPED, SandboxState.ABSENT])
async def test_it_is_dead_seconds_after_its_sandbox(state: SandboxState) -> None:
    driver = Driver()
    assert await driver.takes(key("one"))
    driver.state, driver.start = state, ""
    driver.now += FRESH_SECONDS
    assert not await driver.takes(key("one"))
    assert not await driver.takes(OWN)


async def test_the_next_start_s_key_is_taken_at_once_and_ends_the_one_before() -> None:
    driver = Driver()
    assert await driver.takes(key("one"))
    driver.start = "two"
    assert await driver.takes(key("two"))
    assert not await driver.takes(key("one"))


async def test_those_who_show_a_dead_key_wait_for_one_question() -> None:
    driver = Driver()
    assert not any(await asyncio.gather(*(driver.takes(key("zero")) for _ in range(50))))
    assert driver.asked["s1"] <= 3


async def test_a_sandbox_whose_start_has_no_name_shows_its_own_token_and_no_other_does() -> None:
    driver = Driver()
    assert not await driver.takes(OWN)
    driver.start = ""
    assert await driver.takes(OWN)
    assert not await driver.takes(key("one"))


@pytest.mark.parametrize(
    "token",
    ["", "vfb1", key("one")[:-1], key("one", "s2").replace("s2", "s1"), f"{key('one')}.x", "vfb1.s1..x"],
)
async def test_what_is_no_key_is_not_asked_about(token: str) -> None:
    driver = Driver()
    with pytest.raises(errors.Unauthorized):
        await driver.starts.session_of(token)
    assert not driver.asked


async def test_while_the_driver_is_away_its_last_word_counts_for_a_while() -> None:
    driver = Driver()
    assert await driver.takes(key("one"))
    driver.away = True
    driver.now += AWAY_SECONDS - 1
    assert await driver.takes(key("one"))
    driver.now += 1
    with pytest.raises(errors.Unavailable):
        await driver.starts.session_of(key("one"))


async def test_those_that_call_are_looked_at_together_so_that_no_call_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = Driver()
    for session in ("s1", "s2"):
        await driver.starts.session_of(key("one", session))
    monkeypatch.setattr(start_token, "LOOK_SECONDS", 0.01)
    looking = asyncio.create_task(driver.starts.look_forever())
    async with asyncio.timeout(30):
        while driver.asked["s1"] < 3 or driver.asked["s2"] < 3:
            await asyncio.sleep(0.01)
    driver.now += FRESH_SECONDS + 1
    await asyncio.sleep(0.05)
    idle = driver.asked.copy()
    await asyncio.sleep(0.05)
    looking.cancel()
    assert driver.asked == idle
