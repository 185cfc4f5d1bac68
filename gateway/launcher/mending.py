"""Sees to the sandboxes' networks in rounds: gateways that are not on them, and networks that nobody needs."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway import errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from gateway.launcher.engine import DockerEngine

log = logging.getLogger(__name__)

ROUND_SECONDS: Final = 5.0
"""How late a gateway is put on them that could not ask for it: it came back while the launcher was away."""

ROUNDS_BETWEEN: Final = 12
"""Networks that nobody needs are looked for in one round of so many: only what was cut short leaves any."""


async def mend_forever(
    engine: DockerEngine, lock: Callable[[str], AbstractAsyncContextManager[object]]
) -> None:
    """Until cancelled; an engine that is away is asked again, and no failure is the last round. `lock`: a session's."""
    number = 0
    while True:
        await asyncio.sleep(ROUND_SECONDS)
        number += 1
        try:
            await mend(engine, lock, abandoned=number % ROUNDS_BETWEEN == 0)
        except errors.SandboxUnavailable as error:
            log.warning("the sandboxes' networks could not be looked at: %s", error)
        except Exception:
            log.exception("the sandboxes' networks could not be looked at")


async def mend(
    engine: DockerEngine, lock: Callable[[str], AbstractAsyncContextManager[object]], *, abandoned: bool
) -> None:
    """One round. `abandoned`: whether networks that nobody needs are removed too."""
    if joined := await engine.join_gateways():
        log.info("gateways were put on sandboxes' networks, %d times", joined)
    for session in await engine.abandoned() if abandoned else ():
        async with lock(session):
            await engine.abandon(session)
        log.info("session %s: its network went, as no sandbox needs it", session)
