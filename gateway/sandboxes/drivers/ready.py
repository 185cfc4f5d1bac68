"""Readiness of an agent server: `/ping` polled with a deadline and growing pauses."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from container.protocol import sandbox_token
from gateway import errors
from gateway.sandboxes.drivers import LOSSES, Sandbox, SandboxState
from gateway.sandboxes.drivers.answers import read_object

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FIRST_PAUSE = 0.010
LAST_PAUSE = 0.050
ATTEMPTS = 3
"""Starts of a sandbox that ends while it is waited for: it may have been ending, or stopped by another gateway."""

PING_SECONDS = 2.0
"""One `/ping` may take this long: a server that is only busy starting answers the next one."""


PING_BYTES: Final = 16 * 1024
"""Longest answer to `/ping`: an agent server's has some 250 bytes."""


async def ping(
    client: aiohttp.ClientSession,
    sandbox: Sandbox,
    *,
    secret: str,
    accepted: str = "",
    seconds: float = PING_SECONDS,
) -> dict[str, Any] | None:
    """What `/ping` says; None when this very session's agent server does not answer (an address may have passed on to
    another sandbox, which takes only its own token). `secret`: what the sandboxes' tokens are derived from; `accepted`:
    another one that it may have been, while that is rotated."""
    body = await _ping(client, sandbox, secret, seconds)
    return body if body is not None or not accepted else await _ping(client, sandbox, accepted, seconds)


async def _ping(
    client: aiohttp.ClientSession, sandbox: Sandbox, secret: str, seconds: float
) -> dict[str, Any] | None:
    try:
        async with client.get(
            f"{sandbox.url}/ping",
            headers={"Authorization": f"Bearer {sandbox_token(secret.encode(), sandbox.session)}"},
            timeout=aiohttp.ClientTimeout(total=seconds),
            allow_redirects=False,
        ) as response:
            if response.status != 200:
                return None
            body = await read_object(response, PING_BYTES)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, errors.SandboxUnavailable):
        return None
    return body if body.get("session") == sandbox.session else None


async def wait_ready(
    sandbox: Sandbox,
    *,
    client: aiohttp.ClientSession,
    secret: str,
    accepted: str = "",
    look: Callable[[], Awaitable[Sandbox]],
    look_seconds: float,
    seconds: float,
    occupant: str = "",
) -> Sandbox:
    """The sandbox as RUNNING once its agent server answers; STOPPED or ABSENT once it is seen to have ended.

    Asks at once, then after pauses of 10 ms growing to 50 ms. `look` tells the sandbox's state anew and is asked
    at most every `look_seconds`. Raises `SandboxUnavailable` after `seconds`. `occupant`: see `Poolable.ensure`.
    """
    loop = asyncio.get_running_loop()
    started = looked = loop.time()
    pause = FIRST_PAUSE
    while sandbox.state in (SandboxState.STARTING, SandboxState.RUNNING):
        remaining = started + seconds - loop.time()
        if remaining <= 0:
            raise errors.SandboxUnavailable(
                f"The sandbox of session {sandbox.session} runs, but its agent server did not answer within "
                f"{seconds:g} s; send the prompt again, or look at the sandbox's log."
            )
        body: dict[str, Any] | None = None
        for name in (occupant, sandbox.session) if sandbox.port else ():
            if name and body is None:
                asked = replace(sandbox, session=name)
                limit = min(PING_SECONDS, remaining)
                body = await ping(client, asked, secret=secret, accepted=accepted, seconds=limit)
        if body is not None:
            lost = body.get("lostReason")
            return replace(
                sandbox,
                session=str(body["session"]),
                state=SandboxState.RUNNING,
                fresh=body.get("fresh") is True,
                lost_before=lost if lost in LOSSES else "",
            )
        await asyncio.sleep(min(pause, max(0.0, started + seconds - loop.time())))
        pause = min(pause * 1.5, LAST_PAUSE)
        if loop.time() - looked >= look_seconds:
            sandbox = await look()
            looked = loop.time()
    return sandbox
