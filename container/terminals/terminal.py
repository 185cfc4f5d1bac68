"""One terminal: its shell's output in a ring, who has got how far in it, and how far each client's input was taken."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from container.agent.spared import Spared
from container.errors import CursorAhead
from container.terminals.pty import Pty
from container.terminals.ring import Ring

GRACE_SECONDS: Final = 60.0
"""So long the shell waits for a reader that was cut off, where the ring would lose what that has not got."""

MOST_CLIENTS: Final = 64
"""Clients whose place in the input, and in the output, is remembered."""

LINE_BYTES: Final = 4096
"""A reader that has missed something begins behind a line's end, where there is one within this many bytes."""


class Hold:
    """A reader's claim on the ring: what is behind `cursor` is not thrown away. `until`: when a reader that was cut off
    loses it, by the loop's clock; None while the reader is there."""

    def __init__(self, cursor: int) -> None:
        self.cursor = cursor
        self.until: float | None = None


class Terminal:
    """A shell and what it has said. `exit_code`: None while it runs. `changed`: replaced and set at every change.

    The shell waits for a reader that is there, or was cut off just now, and for nobody else; then the ring loses its
    oldest bytes. So memory is bounded, and a reader that comes back in time misses nothing.
    """

    def __init__(self, name: str, size: tuple[int, int], ring_bytes: int, spared: Spared) -> None:
        self.id = name
        self.created_at = time.time()
        self.cols, self.rows = size
        self.ring = Ring(ring_bytes)
        self.exit_code: int | None = None
        self.pty = Pty(self._said, self._room, self._ended, spared)
        self.readers: dict[str, Callable[[], object]] = {}
        """By client, how its connection is told that the client has another one."""
        self._changed = asyncio.Event()
        self._holds: OrderedDict[str, Hold] = OrderedDict()
        self._inputs: OrderedDict[str, int] = OrderedDict()
        self._loop = asyncio.get_running_loop()

    def json(self) -> dict[str, Any]:
        """As docs/protocol.md has it."""
        return {
            "id": self.id,
            "createdAt": round(self.created_at, 3),
            "cols": self.cols,
            "rows": self.rows,
            "cursor": self.ring.end,
            "running": self.exit_code is None,
            "exitCode": self.exit_code,
            "busy": self.pty.is_busy,
        }

    def resize(self, cols: int, rows: int) -> None:
        """Another size, of which every reader is told."""
        if (cols, rows) != (self.cols, self.rows):
            self.cols, self.rows = cols, rows
            self.pty.resize(cols, rows)
            self.wake()

    async def changed(self) -> None:
        """Wait for more output, another size, or the end."""
        await self._changed.wait()

    def wake(self) -> None:
        """Have every reader look."""
        self._changed.set()
        self._changed = asyncio.Event()

    # -- readers --
    def hold(self, client: str, cursor: int) -> tuple[Hold, int]:
        """The claim of a reader that has everything before `cursor`, and how many bytes it has missed: where these are
        gone, it begins with what is there. Raises CursorAhead."""
        if cursor > self.ring.end:
            raise CursorAhead(f"The terminal has said {self.ring.end} bytes, not {cursor}.", field="cursor")
        begin = cursor if cursor >= self.ring.start else self._line_start()
        hold = self._holds[client] = Hold(begin)
        self._holds.move_to_end(client)
        while len(self._holds) > MOST_CLIENTS:
            self._holds.popitem(last=False)
        self.pty.read_on()
        return hold, begin - cursor

    def _line_start(self) -> int:
        start = self.ring.start
        if start == 0:
            return 0
        return start + self.ring.read(start, LINE_BYTES).find(b"\n") + 1

    def moved(self, hold: Hold, cursor: int) -> None:
        """The reader has everything before `cursor`."""
        hold.cursor = max(hold.cursor, min(cursor, self.ring.end))
        self.pty.read_on()

    def release(self, client: str, hold: Hold, *, comes_back: bool) -> None:
        """The reader has gone; `comes_back`: it was cut off, and is waited for a while."""
        if self._holds.get(client) is not hold:
            return
        if comes_back and self.exit_code is None:
            hold.until = self._loop.time() + GRACE_SECONDS
            self._loop.call_later(GRACE_SECONDS, self.pty.read_on)
        else:
            del self._holds[client]
        self.pty.read_on()

    def _room(self) -> int:
        now = self._loop.time()
        for client, hold in list(self._holds.items()):
            if hold.until is not None and hold.until <= now:
                del self._holds[client]
        floor = min((hold.cursor for hold in self._holds.values()), default=self.ring.end)
        return self.ring.size - (self.ring.end - max(floor, self.ring.start))

    # -- input --
    def taken(self, client: str) -> int:
        """How many bytes of this client's input were taken."""
        return self._inputs.get(client, 0)

    def type(self, client: str, data: bytes) -> int:
        """Take input; how much of this client's was taken. More is to be taken once `settled`."""
        self._inputs[client] = taken = self.taken(client) + len(data)
        self._inputs.move_to_end(client)
        while len(self._inputs) > MOST_CLIENTS:
            self._inputs.popitem(last=False)
        self.pty.write(data)
        return taken

    async def settled(self) -> None:
        """Wait until the terminal has taken what was typed."""
        await self.pty.written.wait()

    # -- what the shell says --
    def _said(self, data: bytes) -> None:
        self.ring.append(data)
        self.wake()

    def _ended(self, code: int) -> None:
        self.exit_code = code
        self._holds.clear()
        self.wake()
