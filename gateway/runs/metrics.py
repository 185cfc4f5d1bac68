"""The gateway's figures as metrics: a line of CloudWatch's embedded metric format a minute, on stdout.

CloudWatch Logs makes metrics of such a line by itself (Amazon CloudWatch User Guide, Embedded metric format
specification): no agent, no call, no permission. The one dimension is the stack: what names a user or a session would
make a metric of each of them, and show it to whoever may read metrics.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from container.protocol import encode

log = logging.getLogger(__name__)

NAMESPACE: Final = "VaporForge"
SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Figures:
    """`gauges`: as many as there are now. `counters`: as many as there were since the process started; a line says how
    many came since the one before."""

    gauges: Mapping[str, int]
    counters: Mapping[str, int]


def line(stack: str, values: Mapping[str, int], now: float) -> str:
    """The metrics `values` of the stack, at `now` in epoch seconds; without a line's end."""
    metrics = [{"Name": name, "Unit": "Count"} for name in values]
    directive = {"Namespace": NAMESPACE, "Dimensions": [["Stack"]], "Metrics": metrics}
    told = {
        "_aws": {"Timestamp": round(now * 1000), "CloudWatchMetrics": [directive]},
        "Stack": stack,
        **values,
    }
    return encode(told).decode()


class Metrics:
    """Tells the figures that `read` gives."""

    def __init__(self, stack: str, read: Callable[[], Figures]) -> None:
        self._stack = stack
        self._read = read
        self._before: Mapping[str, int] = {}

    def tell(self) -> str:
        """The line of now."""
        figures = self._read()
        since = {name: count - self._before.get(name, 0) for name, count in figures.counters.items()}
        self._before = dict(figures.counters)
        return line(self._stack, {**figures.gauges, **since}, time.time())

    async def tell_forever(self, *, seconds: float = SECONDS) -> None:
        """A line each `seconds`, until cancelled. A figure that cannot be told ends nothing."""
        while True:
            await asyncio.sleep(seconds)
            try:
                sys.stdout.write(f"{self.tell()}\n")
                sys.stdout.flush()
            except OSError as error:
                log.warning("metrics are not told: %s", error)
