"""A condition without a lock: wakes everybody who waits for something to change, and leaves it to them to look what."""

from __future__ import annotations

import asyncio


class Condition:
    """`notify_all` wakes all current waiters; a waiter that comes later waits for the next time."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify_all(self) -> None:
        """Wake every waiter."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Return at the next notification, or after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return
