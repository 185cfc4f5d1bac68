"""Computing beside the loop: it goes on meanwhile, one computes at a time, and nobody leaves work behind."""

from __future__ import annotations

import asyncio
import threading

import pytest

from gateway.concurrency.aside import Aside


async def test_the_loop_goes_on_and_the_result_comes_back() -> None:
    went_on = threading.Event()
    asyncio.get_running_loop().call_soon(went_on.set)
    assert await Aside().run(lambda: went_on.wait(30))


async def test_errors_come_back_and_the_next_one_has_its_turn() -> None:
    aside = Aside()

    def fail() -> None:
        raise ValueError("too deep")

    with pytest.raises(ValueError, match="too deep"):
        await aside.run(fail)
    assert await aside.run(lambda: 7) == 7


async def test_one_computes_at_a_time() -> None:
    aside, one = Aside(), threading.Lock()

    def alone() -> bool:
        if not one.acquire(blocking=False):
            return False
        try:
            threading.Event().wait(0.002)
        finally:
            one.release()
        return True

    assert all(await asyncio.gather(*(aside.run(alone) for _ in range(20))))


async def test_who_is_cancelled_leaves_behind_its_work() -> None:
    aside = Aside()
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(30)
        ended.set()

    task = asyncio.create_task(aside.run(work))
    while not begun.is_set():
        await asyncio.sleep(0.001)
    for _ in range(3):
        task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
    assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
