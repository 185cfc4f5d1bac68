"""Small programs that look at the workspace as the agent: their output up to a limit, within a time, and their end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from container.uids import AgentUser

READ_BYTES: Final = 65536

_THERE: Final = (b"/bin/sh", b"-c", b'cd -- "$0" && exec "$@"')
"""Goes to a folder that may be closed to the agent server, as the agent."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a program wrote. `whole`: it ended by itself, in time and within the limit; `code`: with which exit code."""

    output: bytes
    whole: bool
    code: int | None


async def run(
    argv: Sequence[bytes],
    cwd: bytes,
    user: AgentUser,
    env: Mapping[str, str],
    *,
    given: bytes = b"",
    limit: int,
    seconds: float,
) -> Said:
    """Run `argv` in `cwd`, with `given` on its input. Raises FileNotFoundError when there is no such program."""
    process = await asyncio.create_subprocess_exec(
        *_THERE,
        cwd,
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd="/",
        env=dict(env),
        start_new_session=True,
        **user.spawn_arguments,
    )
    output = bytearray()
    feeding = asyncio.create_task(_feed(process, given))
    whole = False
    try:
        async with asyncio.timeout(seconds):
            stdout = cast("asyncio.StreamReader", process.stdout)
            while len(output) <= limit and (chunk := await stdout.read(READ_BYTES)):
                output += chunk
            if len(output) <= limit:
                await process.wait()
                whole = True
    except TimeoutError:
        pass
    finally:
        feeding.cancel()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.gather(feeding, process.wait(), return_exceptions=True)
    return Said(bytes(output[:limit]), whole, process.returncode if whole else None)


async def _feed(process: asyncio.subprocess.Process, given: bytes) -> None:
    stdin = cast("asyncio.StreamWriter", process.stdin)
    with contextlib.suppress(ConnectionError):
        stdin.write(given)
        await stdin.drain()
        stdin.close()
