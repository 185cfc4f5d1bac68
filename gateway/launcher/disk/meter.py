"""The counting process as its caller sees it: asked for a usage, started anew when it has ended."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from typing import TYPE_CHECKING, Final

from gateway.launcher.disk.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS: Final = 300.0
"""How long a count may take; a million files take some ten seconds. Then the process is ended, and another asked."""

LOWEST: Final = "19"
"""The lowest priority (nice(2))."""

COMMAND: Final = (sys.executable, "-m", "gateway.launcher.disk.counter", LOWEST)


class Meter:
    """Counts folders in a process of its own. `measure` raises `OSError` (`TimeoutError` among them) when it cannot."""

    def __init__(self, command: Sequence[str] = (), seconds: float = SECONDS) -> None:
        self._command = command or COMMAND
        self._seconds = seconds
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._asked: dict[int, asyncio.Future[Usage]] = {}
        self._numbers = itertools.count(1)

    async def measure(self, folders: Sequence[str], most: Usage) -> Usage:
        """What these folders take together; no more than `most` is counted (0: all)."""
        number = next(self._numbers)
        answer: asyncio.Future[Usage] = asyncio.get_running_loop().create_future()
        line = {
            "id": number,
            "folders": list(folders),
            "mostSize": most.size,
            "mostInodes": most.inodes,
        }
        try:
            async with asyncio.timeout(self._seconds):
                stdin = await self._stdin()
                self._asked[number] = answer
                stdin.write(json.dumps(line).encode() + b"\n")
                await stdin.drain()
                return await answer
        except TimeoutError:
            self._kill()
            raise
        finally:
            self._asked.pop(number, None)

    async def close(self) -> None:
        """End the process. May be called twice."""
        self._kill()
        if self._reader is not None:
            await asyncio.wait([self._reader])

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _stdin(self) -> asyncio.StreamWriter:
        async with self._starting:
            if self._process is None or self._reader is None or self._reader.done():
                self._process = await asyncio.create_subprocess_exec(
                    *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
                )
                self._reader = asyncio.create_task(self._read(self._process), name="disk meter")
            assert self._process.stdin is not None  # noqa: S101 - a pipe, as asked for
            return self._process.stdin

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 - a pipe, as asked for
        # The last line of one that was ended may be half of one.
        while (line := await process.stdout.readline()).endswith(b"\n"):
            told = json.loads(line)
            answer = self._asked.get(told.pop("id"))
            if answer is not None and not answer.done():
                answer.set_result(Usage(**told))
        await process.wait()
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(OSError("the process that counts has ended"))
