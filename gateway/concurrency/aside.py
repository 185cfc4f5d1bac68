"""Long computations beside the loop, one at a time: whoever waits for the loop is held up by a thread's turn alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class Aside:
    """Computes in a thread what would keep the loop for long. Of many that want to one computes at a time, as each
    thread that does takes the interpreter from the loop for five milliseconds at a time (`sys.getswitchinterval`)."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises. Who is cancelled meanwhile leaves only once it has ended: what it works on is
        nobody else's before."""
        async with self._turn:
            working = asyncio.ensure_future(asyncio.to_thread(work))
            try:
                return await asyncio.shield(working)
            finally:
                while not working.done():
                    with suppress(asyncio.CancelledError):  # it is on its way already
                        await asyncio.wait((working,))
