"""Figures and how they are shown: medians with their spread, plain tables, and what /proc says of a process."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def summary(values: Iterable[float]) -> dict[str, float]:
    """Median, least and most of the values, and how many there are."""
    known = sorted(values)
    return {
        "median": round(statistics.median(known), 3),
        "min": round(known[0], 3),
        "max": round(known[-1], 3),
        "n": len(known),
    }


def shown(figures: dict[str, float], digits: int = 0) -> str:
    """`median (min-max)`."""
    return f"{figures['median']:.{digits}f} ({figures['min']:.{digits}f}-{figures['max']:.{digits}f})"


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A plain table; the first column is to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join(["", title, lines[0], "-" * len(lines[0]), *lines[1:]])


def children(pid: int) -> list[int]:
    """The process and everything below it."""
    found = [pid]
    for parent in found:
        try:
            listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except FileNotFoundError:  # it has ended meanwhile
            continue
        found += [int(child) for child in listed]
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and everything below it; its threads' schedstat counts nanoseconds (Linux)."""
    total = 0
    for each in children(pid):
        for thread in Path(f"/proc/{each}/task").iterdir():
            total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


def memory_kib(pid: int, *, peak: bool = False) -> int:
    """Resident memory of one process, or the most that it ever was."""
    name = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} has no {name}")
