"""The development mode as its user has it: a process with a state folder, and what it prints."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).resolve().parents[2]

START_SECONDS = 120.0


class Development:
    """A running `python -m gateway --dev`. `headers` let in."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, token: str) -> None:
        self.process = process
        self.url = url
        self.headers = {"Authorization": f"Bearer {token}"}


async def start(state: Path, **environment: str) -> asyncio.subprocess.Process:
    """The command, as a process with `state`."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway", "--dev", "--port", "0"),
        cwd=ROOT,
        env={**os.environ, "VF_STATE": str(state), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@contextlib.asynccontextmanager
async def development(state: Path, **environment: str) -> AsyncIterator[Development]:
    """It runs; unless it was killed meanwhile it is ended as by Ctrl-C."""
    process = await start(state, **environment)
    assert process.stdout is not None
    assert process.stderr is not None
    logged = asyncio.create_task(process.stderr.read())
    try:
        async with asyncio.timeout(START_SECONDS):
            line = (await process.stdout.readline()).decode()
        told = re.fullmatch(r"VaporForge is at (http://127\.0\.0\.1:\d+)/#token=(\S+)\n", line)
        assert told is not None, line or (await logged).decode()
        yield Development(process, told[1], told[2])
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            status = await process.wait()
            await logged
        assert status in {0, -signal.SIGKILL}, (status, logged.result().decode())


def of_this(state: Path) -> list[str]:
    """Command lines of processes that work in or on `state`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            if folder.name != str(os.getpid()) and str(state).encode() in command:
                found.append((folder / "cmdline").read_text().replace("\0", " "))
    return found
