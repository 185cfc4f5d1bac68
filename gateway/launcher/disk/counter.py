"""The process that counts: reads what to count as JSON lines, answers with JSON lines; at a low priority.

A process of its own, so that a tree of a million files stalls nobody's start. Several counts go on in turns, so that a
small tree is not waited for until a large one is through. `python -m gateway.launcher.disk.counter 19`; stdlib only.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import resource
import select
import sys
from typing import TYPE_CHECKING, Any, Final

from gateway.launcher.disk.usage import Count

if TYPE_CHECKING:
    from collections.abc import Iterator

READ_BYTES: Final = 65_536
PDEATHSIG: Final = 1
"""PR_SET_PDEATHSIG (prctl(2))."""


def main() -> None:
    """Count until stdin ends, with as much less priority as the first argument says (nice(2))."""
    os.nice(int(sys.argv[1]))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # folders within each other are open together
    ctypes.CDLL(None).prctl(PDEATHSIG, 9)
    counts: list[tuple[Any, Count, Iterator[None]]] = []
    rest = b""
    while True:
        if not counts or select.select([0], [], [], 0)[0]:
            data = os.read(0, READ_BYTES)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                asked = json.loads(line)
                count = Count(asked["folders"], most_size=asked["mostSize"], most_inodes=asked["mostInodes"])
                counts.append((asked["id"], count, count.slices()))
        for item in list(counts):
            number, count, slices = item
            if next(slices, counts) is counts:
                counts.remove(item)
                usage = count.usage
                told = {"id": number, **dataclasses.asdict(usage)}
                sys.stdout.write(json.dumps(told) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
