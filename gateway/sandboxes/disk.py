"""The disk as this gateway knows it: asked of the driver every two seconds, so that no prompt waits for that."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from gateway import errors
from gateway.sandboxes.drivers import Disk

if TYPE_CHECKING:
    from gateway.sandboxes.drivers import TellsDisk

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 2.0

KNOWN_SECONDS: Final = 15.0
"""What was told so long ago counts no more: a launcher that is away refuses nobody's prompt here."""


class DiskGauge:
    """What the driver last told of its disk."""

    def __init__(self, driver: TellsDisk) -> None:
        self._driver = driver
        self._disk = Disk()
        self._told_at = float("-inf")
        self._failing = False

    @property
    def disk(self) -> Disk:
        """As it was told in the last seconds; else as one that nothing is known of."""
        return self._disk if time.monotonic() - self._told_at < KNOWN_SECONDS else Disk()

    def refuse_new(self) -> None:
        """Before a prompt is admitted. Raises `DiskLow`."""
        if self.disk.low:
            raise errors.DiskLow(
                "The disk of this deployment is nearly full, so it takes no prompts for now: delete sessions that are "
                "not needed, or ask whoever runs it to make room; then send it again."
            )

    def figures(self) -> dict[str, Any]:
        """What `GET /api/health` tells; empty while nothing is known."""
        disk = self.disk
        if not disk.reserve_bytes:
            return {}
        return {
            "low": disk.low,
            "freeBytes": disk.free_bytes,
            "reserveBytes": disk.reserve_bytes,
            "freeInodes": disk.free_inodes,
            "reserveInodes": disk.reserve_inodes,
            "overQuota": disk.over,
        }

    async def look_forever(self) -> None:
        """Until cancelled."""
        while True:
            try:
                disk = await self._driver.disk()
            except errors.VaporForgeError as error:
                if not self._failing:
                    log.warning("the disk is not known: %s", error)
                self._failing = True
            except Exception:
                log.exception("the disk could not be asked for")
            else:
                if disk.low != self.disk.low:
                    log.warning(
                        "the disk is %s", "nearly full: prompts are refused" if disk.low else "free again"
                    )
                self._disk, self._told_at, self._failing = disk, time.monotonic(), False
            await asyncio.sleep(LOOK_SECONDS)
