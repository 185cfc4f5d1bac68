"""The end of the token that a live connection came in with."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final

from gateway.errors import Unauthorized

NO_END: Final = 2.0**53
"""An end that never comes, in epoch seconds."""

LOOK_SECONDS: Final = 10.0
"""The clock that tokens go by may be set, or a machine may sleep: it is looked at this often."""


async def expired(until: float, sooner: asyncio.Event | None = None) -> None:
    """Wait for `until`, epoch seconds, and raise `Unauthorized` then; return when `sooner` is set before. (In one task:
    an idle connection has nothing else.)"""
    while (left := until - time.time()) > 0:
        with suppress(TimeoutError):
            async with asyncio.timeout(min(left, LOOK_SECONDS)):
                await (sooner or asyncio.Event()).wait()
            return
    raise Unauthorized("The token has expired; sign in again, then go on from your cursor")
