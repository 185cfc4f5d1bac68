"""Questions that many ask at the same moment."""

from __future__ import annotations

import asyncio

import pytest

from gateway.concurrency.single_flight import SingleFlight


class Oracle:
    """Answers with the number of the call, once it is let."""

    def __init__(self) -> None:
        self.calls = 0
        self.may_answer = asyncio.Event()
        self.fails = False

    async def __call__(self, key: str) -> str:
        self.calls += 1
        mine = self.calls
        await self.may_answer.wait()
        if self.fails:
            raise LookupError(f"{key} {mine}")
        return f"{key} {mine}"


async def turn() -> None:
    """Let every task go on as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_crowd_is_one_call_and_who_comes_later_gets_a_later_answer() -> None:
    oracle = Oracle()
    together = SingleFlight(oracle)
    first = [asyncio.create_task(together.ask("a")) for _ in range(20)]
    await turn()
    late = [asyncio.create_task(together.ask("a")) for _ in range(20)]
    other = asyncio.create_task(together.ask("b"))
    await turn()
    assert oracle.calls == 2
    oracle.may_answer.set()
    assert set(await asyncio.gather(*first)) == {"a 1"}
    assert await other == "b 2"
    assert set(await asyncio.gather(*late)) == {"a 3"}
    assert await together.ask("a") == "a 4"
    assert not together._on
    assert not together._next


async def test_everybody_hears_of_an_error_and_the_next_call_is_a_new_one() -> None:
    oracle = Oracle()
    oracle.fails = True
    oracle.may_answer.set()
    together = SingleFlight(oracle)
    answers = await asyncio.gather(*(together.ask("a") for _ in range(3)), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["a 1"] * 3
    oracle.fails = False
    assert await together.ask("a") == "a 2"


async def test_who_leaves_takes_the_answer_from_nobody() -> None:
    oracle = Oracle()
    together = SingleFlight(oracle)
    leaver, stayer = (asyncio.create_task(together.ask("a")) for _ in range(2))
    await turn()
    leaver.cancel()
    await turn()
    oracle.may_answer.set()
    assert await stayer == "a 1"
    with pytest.raises(asyncio.CancelledError):
        await leaver


async def test_an_error_that_everybody_left_before_is_no_trouble() -> None:
    oracle = Oracle()
    oracle.fails = True
    together = SingleFlight(oracle)
    leaver = asyncio.create_task(together.ask("a"))
    await turn()
    leaver.cancel()
    await turn()
    oracle.may_answer.set()
    await turn()
    assert not together._on
