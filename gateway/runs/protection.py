"""Scale-in passes by a gateway's task on ECS while it records runs: for a bounded time, asked for by the task itself.

A task asks the agent of ECS that is beside it (Amazon ECS Developer Guide, Task scale-in protection endpoint). What has
a task's protection is stopped neither by autoscaling nor by a deployment, which waits for it. Runs need none: another
gateway takes them over, and their readers come along. So it only spares them that where there is no hurry.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from gateway import errors
from gateway.sandboxes.drivers.answers import read_object

if TYPE_CHECKING:
    from gateway.concurrency.condition import Condition

log = logging.getLogger(__name__)

PATH: Final = "/task-protection/v1/state"

LINGER_SECONDS: Final = 10.0
"""So long after its last run a gateway is still protected: prompts that follow each other are one protection."""

REST_SECONDS: Final = 300.0
"""At least so long there is none when one has lasted as long as it may: a deployment that waits has its turn then."""

RETRY_SECONDS: Final = 30.0

CALL: Final = aiohttp.ClientTimeout(total=10)
"""The agent asks ECS, with retries of its own."""

ANSWER_BYTES: Final = 16 * 1024

_MINUTE: Final = 60.0


class Protection:
    """Asks for protection while `busy`, which is looked at whenever `changed` is notified, and gives it back after.

    `agent`: ECS_AGENT_URI. `minutes`: how long a deployment waits for this gateway at most, however busy it is: a
    protection that is given back and asked for again within `REST_SECONDS` is the same one, and has what is left.
    """

    def __init__(
        self,
        agent: str,
        http: aiohttp.ClientSession,
        *,
        minutes: float,
        busy: Callable[[], bool],
        changed: Condition,
    ) -> None:
        self._url = agent + PATH
        self._http = http
        self._seconds = minutes * _MINUTE
        self._busy = busy
        self._changed = changed
        self._failing = False

    async def keep_forever(self) -> None:
        """Until cancelled, as a drain does: ECS is stopping this task then. What the agent answers ends nothing."""
        clock = asyncio.get_running_loop().time
        free_since, until = -math.inf, 0.0
        while True:
            await self._reach(busy=True)
            now = clock()
            if now - free_since >= REST_SECONDS:
                until = now + self._seconds
            if now >= until:
                await asyncio.sleep(free_since + REST_SECONDS - now)
            elif await self._ask(max(1, round((until - now) / _MINUTE))):
                await self._last(until)
                await self._tell({"ProtectionEnabled": False})
                free_since = clock()
            else:
                await asyncio.sleep(RETRY_SECONDS)

    async def _reach(self, *, busy: bool) -> None:
        while self._busy() is not busy:
            await self._changed.wait(_MINUTE)

    async def _last(self, until: float) -> None:
        """Return when no run has been on for a while, or at `until`."""
        clock = asyncio.get_running_loop().time
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while True:
                    await self._reach(busy=False)
                    quiet_at = clock() + LINGER_SECONDS
                    while not self._busy() and clock() < quiet_at:
                        await self._changed.wait(quiet_at - clock())
                    if not self._busy():
                        return

    async def _ask(self, minutes: int) -> bool:
        return await self._tell({"ProtectionEnabled": True, "ExpiresInMinutes": minutes})

    async def _tell(self, wanted: Mapping[str, Any]) -> bool:
        """Whether it is as wanted now. What was not given back ends by itself, with its minutes."""
        try:
            async with self._http.put(self._url, json=dict(wanted), timeout=CALL) as response:
                told = await read_object(response, ANSWER_BYTES)
        except (aiohttp.ClientError, TimeoutError, errors.SandboxUnavailable) as error:
            self._failed(wanted, f"{type(error).__name__}: {error}")
            return False
        protection = told.get("protection")
        if (
            not isinstance(protection, dict)
            or protection.get("ProtectionEnabled") != wanted["ProtectionEnabled"]
        ):
            self._failed(wanted, str(told.get("failure") or told.get("error") or told))
            return False
        if self._failing:
            log.info("the agent of ECS does as asked again")
        self._failing = False
        return True

    def _failed(self, wanted: Mapping[str, Any], said: str) -> None:
        """Once, however often it is asked again."""
        if not self._failing:
            log.warning("the agent of ECS does not protect this task as asked (%s): %s", dict(wanted), said)
        self._failing = True
