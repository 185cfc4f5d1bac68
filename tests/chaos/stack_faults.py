"""What can be broken in the `stack` target."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tests.chaos.container_faults import container_faults
from tests.chaos.target import Fault

if TYPE_CHECKING:
    from tests.chaos.stack import DockerStack


def stack_faults(stack: DockerStack) -> Mapping[str, Fault]:
    """By name. Only one gateway is away at a time: with none nobody could be served."""
    breaker = _Breaker(stack)
    return {
        "gateway SIGKILL": lambda: breaker.restart("gateway", kill=True),
        "gateway SIGTERM": lambda: breaker.restart("gateway"),
        "gateway paused": lambda: breaker.freeze("gateway", 2, 15),  # beyond the lease, often
        "launcher SIGKILL": lambda: breaker.restart("launcher", kill=True),
        "proxy stopped, started": lambda: breaker.restart("proxy"),
        "DynamoDB stopped, started": lambda: breaker.restart("table"),
        "DynamoDB paused": lambda: breaker.freeze("table", 1, 6),
        **container_faults(stack),
    }


class _Breaker:
    def __init__(self, stack: DockerStack) -> None:
        self._stack = stack
        self._random = stack.random

    async def restart(self, role: str, *, kill: bool = False) -> bool:
        parts = await self._stack.parts(role)
        if not parts:  # such as a table in AWS
            return False
        part = self._random.choice(parts)
        await self._stack.in_thread(part.kill if kill else part.stop)
        await asyncio.sleep(self._random.uniform(0, 2))
        await self._stack.mend(part)
        return True

    async def freeze(self, role: str, least: float, most: float) -> bool:
        parts = await self._stack.parts(role)
        if not parts:
            return False
        part = self._random.choice(parts)
        await self._stack.in_thread(part.pause)
        try:
            await asyncio.sleep(self._random.uniform(least, most))
        finally:
            await self._stack.mend(part)
        return True
