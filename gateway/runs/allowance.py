"""What a prompt needs to be admitted: a unit of its sender's rate, and a place for its session's sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from gateway.errors import DiskLow, TooMany

if TYPE_CHECKING:
    from gateway.store.quotas import Allowance


class PromptAllowance:
    """An `Allowance` of both, asked for side by side; what one gave is given back when the other refuses."""

    def __init__(self, rate: Allowance, place: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._rate = rate
        self._place = place

    async def take(self) -> None:
        """See `Allowance`; raises `QuotaReached` and `DiskLow` too."""
        placing = asyncio.ensure_future(self._place())
        try:
            await self._rate.take()
        except BaseException:
            placing.cancel()
            await asyncio.gather(placing, return_exceptions=True)
            raise
        try:
            await placing
        except (TooMany, DiskLow):
            await self._rate.give_back()
            raise

    async def give_back(self) -> None:
        """See `Allowance`. The place stays: the sandbox is being woken."""
        await self._rate.give_back()
