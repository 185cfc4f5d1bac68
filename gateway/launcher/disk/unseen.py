"""A low disk that fills further though nobody's files are seen to grow: whoever fills it is looked for and ended, and
when nobody is found and little is left, all are ended."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from gateway import errors
from gateway.launcher.disk.hunt import find_writer
from gateway.launcher.disk.ledger import Cut

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

    from gateway.launcher.disk.ledger import Ledger, Space
    from gateway.launcher.disk.sandboxes import Sandboxes

log = logging.getLogger(__name__)

UNSEEN_SHARE: Final = 0.25
"""When so much of the reserve has gone that nobody is seen to have written, it is looked for by whom: all who may write
a little while a disk is low write half as much together."""

LAST_SHARE: Final = 0.25
"""When no more of the reserve is left than this, and it still falls, every sandbox is ended. Whoever writes only while
nobody is held still is found by no hunt; the table, which all need, is on this disk."""

HUNTS: Final = 5
"""So often at most it is looked for whoever fills the disk unseen: on a busy machine a writer pauses by itself too."""


class Unseen:
    """`look` at each space; what is to be done goes on beside. `space()` looks anew, `cut` ends a session's container,
    `tell` says what could not be done."""

    def __init__(
        self,
        ledger: Ledger,
        sandboxes: Sandboxes,
        *,
        space: Callable[[], Awaitable[Space]],
        cut: Callable[[str, str, Cut], Awaitable[None]],
        tell: Callable[[Exception], None],
    ) -> None:
        self._ledger = ledger
        self._sandboxes = sandboxes
        self._space = space
        self._cut = cut
        self._tell = tell
        self._known: Space | None = None
        """What was free when the disk became low, or somebody was ended for that."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._may_be_held = True
        """Whether somebody may be held still whom nobody lets go on: an earlier launcher's, or the engine was away."""

    def known(self, space: Space) -> None:
        """What falls from here on, nobody was seen to write."""
        self._known = space

    def look(self, space: Space) -> None:
        """What the disk has now."""
        known, reserve = self._known or space, self._ledger.reserve
        if self._ledger.low:
            last = space.free < reserve.size * LAST_SHARE and space.free < known.free
            last_inodes = (
                space.free_inodes < reserve.inodes * LAST_SHARE and space.free_inodes < known.free_inodes
            )
            if last or last_inodes:
                self._start("last", self._end_all)
            elif known.free - space.free > reserve.size * UNSEEN_SHARE and "let go" not in self._tasks:
                self._start("hunt", self._hunt)
        if self._may_be_held and "hunt" not in self._tasks:
            self._start("let go", self._let_go)

    async def close(self) -> None:
        """May be called twice."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Unless it is at it."""

        async def typed() -> None:
            try:
                await work()
            except (errors.SandboxUnavailable, OSError) as error:
                self._tell(error)
            except Exception:
                log.exception("who fills the disk could not be looked for")
            finally:
                del self._tasks[name]

        if name not in self._tasks:
            self._tasks[name] = asyncio.create_task(typed(), name=f"disk: {name}")

    async def _hunt(self) -> None:
        sessions = {container: session for session, container in (await self._sandboxes.running()).items()}
        log.warning("the disk fills further by nobody's files: looking for whom among %d", len(sessions))
        found = None
        self._may_be_held = True  # the engine may be away when they are to go on
        for _ in range(HUNTS):
            found = await find_writer(list(sessions), hold=self._sandboxes.hold, free=self._free)
            if found is not None or not self._ledger.low:
                break
        if found is None:
            log.warning("the disk is filled by none of the sandboxes")
        else:
            await self._cut(sessions[found], found, Cut.LOW)
        self.known(await self._space())

    async def _end_all(self) -> None:
        running = await self._sandboxes.running()
        if running:
            log.error("the disk is all but full, and falls: all %d sandboxes are ended", len(running))
        await asyncio.gather(*(self._cut(session, one, Cut.LOW) for session, one in running.items()))
        self.known(await self._space())

    async def _let_go(self) -> None:
        """Have those go on whom nobody holds still any more."""
        for container in await self._sandboxes.held():
            await self._sandboxes.hold(container, False)
        self._may_be_held = False

    async def _free(self) -> int:
        return (await self._space()).free
