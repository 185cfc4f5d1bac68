"""Single-flight: a call that many make at the same moment is made once; a returning crowd is as cheap as a few."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SingleFlight(Generic[K, T]):
    """`ask(key)` is `call(key)`, shared by those who ask for the same key while another call for it is on.

    An answer is never older than its question: who comes while a call is on waits for the next one. Errors are shared
    too. The call goes on when everybody who asked has left.
    """

    def __init__(self, call: Callable[[K], Awaitable[T]]) -> None:
        self._call = call
        self._on: dict[K, asyncio.Task[T]] = {}
        self._next: dict[K, asyncio.Task[T]] = {}

    async def ask(self, key: K) -> T:
        """What `call` answers. Raises what it raises."""
        task = self._next.get(key)
        if task is None:
            task = self._next[key] = asyncio.create_task(self._ask(key, self._on.get(key)))
            task.add_done_callback(_heard)
        return await asyncio.shield(task)

    async def _ask(self, key: K, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait([before])
        me = self._on[key] = self._next.pop(key)
        try:
            return await self._call(key)
        finally:
            if self._on.get(key) is me:
                del self._on[key]


def _heard(task: asyncio.Task[T]) -> None:
    """Nobody may be left to hear of an error; that is no error of its own."""
    if not task.cancelled():
        task.exception()
