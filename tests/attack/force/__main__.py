"""`python -m tests.attack.force`: one attack's traffic. Its order is a line of JSON on stdin, what came of it is one on
stdout; it ends with its stdin, so that it never outlives whoever gave the order. The standard library is all it needs.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
import threading
import time
from typing import Any

from tests.attack.force.fire import Fire, fire
from tests.attack.force.flood import Flood, flood
from tests.attack.force.hold import Hold, hold
from tests.attack.force.hostile import Hostile, serve
from tests.attack.force.limits import MOST_SECONDS, bounded, open_many_files, ours
from tests.attack.force.neighbour import Neighbour, neighbour

NICE = 10
"""Real attackers have machines of their own: what they compute here must not be what slows a gateway down."""

END_SECONDS = 5.0
"""When told to end: for what must be put right first."""

GRACE_SECONDS = 45.0
"""Beyond its time: for the answers that it waits for."""


async def work(name: str, order: dict[str, Any]) -> dict[str, Any]:
    """Do as ordered."""
    order["host"] = ours(order["host"])
    bounded("seconds", order["seconds"], MOST_SECONDS)
    async with asyncio.timeout(order["seconds"] + GRACE_SECONDS):
        match name:
            case "hold":
                return await hold(Hold(**order))
            case "fire":
                return await fire(Fire(**order))
            case "flood":
                return await flood(Flood(**order))
            case "hostile":
                return await serve(Hostile(**order))
            case "neighbour":
                return await neighbour(Neighbour(**order))
            case _:
                raise ValueError(f"there is no force {name!r}")


async def _until_told(name: str, order: dict[str, Any]) -> dict[str, Any]:
    """SIGTERM ends it as its time does: what it halted goes on."""
    task = asyncio.ensure_future(work(name, order))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def main() -> int:
    """The exit status is 0 when it did what it was ordered to."""
    stdin = io.FileIO(0, closefd=False)
    name, order = json.loads(stdin.readline())
    os.nice(NICE)
    open_many_files()
    threading.Thread(target=_end_with, args=(stdin,), daemon=True).start()
    try:
        outcome = asyncio.run(_until_told(name, order))
    except asyncio.CancelledError:
        return 1
    except (ValueError, TimeoutError, OSError) as error:
        print(json.dumps({"failed": f"{type(error).__name__}: {error}"}), flush=True)
        return 1
    print(json.dumps(outcome), flush=True)
    return 0


def _end_with(stdin: io.FileIO) -> None:
    stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
