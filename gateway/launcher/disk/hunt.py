"""Finds who fills a disk without a file to be seen: by whom the filling stops while they are held still.

What a process writes into a file that it has deleted, or only maps, is in no folder, and whoever is hostile can hide it
from a look into its processes too. It cannot write while it is paused. So half of the sandboxes are paused for half a
second, then half of those among whom it must be: of a hundred somebody is found in some five seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

SECONDS: Final = 0.5
"""How long the disk is looked at, with and without those who are paused."""

SETTLE_SECONDS: Final = 0.1
"""What was being written as they were paused has come to the disk by then."""

LEAST: Final = 8 * 1024 * 1024
"""Bytes a second: who writes less is not looked for."""


async def find_writer(
    containers: Sequence[str],
    *,
    hold: Callable[[str, bool], Awaitable[None]],
    free: Callable[[], Awaitable[int]],
    seconds: float = SECONDS,
) -> str | None:
    """The container without which the disk fills by less than half as fast; None when there is none such.

    `hold(container, True)` pauses, `hold(container, False)` lets go on; `free()` is what the disk has free. All are let
    go on again whatever happens.
    """

    async def fell() -> float:
        """Bytes a second: on a busy machine a look may last longer than it should."""
        before, begun = await free(), time.monotonic()
        await asyncio.sleep(seconds)
        return (before - await free()) / (time.monotonic() - begun)

    async def fell_without(some: Sequence[str]) -> float:
        async with _held(some, hold):
            await asyncio.sleep(min(SETTLE_SECONDS, seconds))
            return await fell()

    among, rate = list(containers), await fell()
    if not among or rate < LEAST:
        return None
    while len(among) > 1:
        half = among[: len(among) // 2]
        among = half if await fell_without(half) < rate / 2 else among[len(half) :]
    # It may have been anybody's process on this machine, or have ended meanwhile.
    rate = await fell()
    return among[0] if rate >= LEAST and await fell_without(among) < rate / 2 else None


@contextlib.asynccontextmanager
async def _held(
    containers: Sequence[str], hold: Callable[[str, bool], Awaitable[None]]
) -> AsyncIterator[None]:
    try:
        await asyncio.gather(*(hold(one, True) for one in containers))
        yield
    finally:
        # Also when the launcher ends: nobody else would let them go on.
        going = asyncio.gather(*(hold(one, False) for one in containers), return_exceptions=True)
        await asyncio.shield(going)
