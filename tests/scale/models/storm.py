"""A zone is lost: its gateways' readers come back to the others, by the page's own backoff.

The constants are read from `gateway/static/client`, so that this follows what browsers do.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from container.protocol import PING_SECONDS
from tests.scale.models.engine import Clock

CLIENT: Final = Path(__file__).parents[3] / "gateway/static/client"


@dataclass(frozen=True, slots=True)
class Client:
    """Seconds. `base`, `cap`: of the backoff; `timeout`: of the ticket's request; `silence`: a link on which nothing
    came for so long is dead."""

    base: float
    cap: float
    timeout: float
    silence: float

    def pause(self, failures: int, chance: random.Random) -> float:
        """`#backoff()` of run-stream.js: full jitter."""
        return chance.random() * min(self.cap, self.base * 2.0**failures)


@cache
def client() -> Client:
    """The page's constants. Raises `ValueError` where one is not found any more."""
    return Client(
        base=_milliseconds("run-stream.js", "BACKOFF_BASE_MS"),
        cap=_milliseconds("run-stream.js", "BACKOFF_CAP_MS"),
        timeout=_milliseconds("api.js", "TIMEOUT_MS"),
        silence=_milliseconds("run-stream.js", "SILENCE_MS"),
    )


def _milliseconds(module: str, name: str) -> float:
    found = re.search(rf"const {name} = ([\d_]+);", (CLIENT / module).read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{name} is not in {CLIENT / module} any more")
    return int(found[1].replace("_", "")) / 1000


@dataclass(frozen=True, slots=True)
class Storm:
    """Seconds from the loss until readers were back: median, 99 of 100, the last. `attempts`: by second."""

    p50: float
    p99: float
    last: float
    attempts: Counter[int]
    readers: int

    @property
    def peak(self) -> int:
        """Attempts in the worst second."""
        return max(self.attempts.values(), default=0)

    @property
    def tries(self) -> float:
        """Attempts of a reader, on average."""
        return sum(self.attempts.values()) / self.readers


def noticed(streaming: float, chance: random.Random, *, silent: bool, page: Client) -> float:
    """When a reader notices: at once where its connection is reset; else once it has heard nothing for `silence`, and
    the last that it heard was a frame of a moment ago (the share `streaming`), or a ping of up to 20 s ago."""
    if not silent:
        return 0.0
    return page.silence - (0.0 if chance.random() < streaming else chance.random() * PING_SECONDS)


def simulate(
    *, readers: int, gateways: int, attach_cpu: float, cpus: float, streaming: float, silent: bool, seed: int
) -> Storm:
    """Each attempt goes to one of the gateways that are left, which serve in order; one that is not served within the
    page's patience was work for nothing, and is made again."""
    chance, clock, page = random.Random(f"storm {seed}"), Clock(), client()
    free = [0.0] * gateways
    attempts: Counter[int] = Counter()
    back: list[float] = []

    def attempt(failures: int) -> None:
        attempts[int(clock.now)] += 1
        gateway = chance.randrange(gateways)
        free[gateway] = max(free[gateway], clock.now) + attach_cpu / cpus
        wait = free[gateway] - clock.now
        if wait <= page.timeout:
            back.append(clock.now + wait)
        else:
            clock.after(page.timeout, lambda: again(failures))

    def again(failures: int) -> None:
        clock.after(page.pause(failures, chance), lambda: attempt(failures + 1))

    for _ in range(readers):
        clock.after(noticed(streaming, chance, silent=silent, page=page), lambda: again(0))
    clock.run()
    back.sort()
    return Storm(_at(back, 0.5), _at(back, 0.99), back[-1] if back else 0.0, attempts, max(1, readers))


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
