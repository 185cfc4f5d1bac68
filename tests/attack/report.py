"""The table: every attack with its control beside it, as text or as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tests.attack.campaign import Row

HEAD = (
    "attack",
    "largest gap, ms",
    "without",
    "p99, ms",
    "without",
    "neighbour",
    "health, ms",
    "peak, MiB",
    "kept, MiB",
    "seen",
    "held",
)


def lines(
    rows: Sequence[Row], faults: Iterable[str], notes: Iterable[str], *, markdown: bool
) -> Iterator[str]:
    """Everything that is to be said of a campaign."""
    yield from _markdown(rows) if markdown else _text(rows)
    yield ""
    yield from (f"note: {note}" for note in notes)
    for row in rows:
        yield from (f"FOUND {row.attack.full_name}: {fault}" for fault in row.faults)
    yield from (f"FOUND {fault}" for fault in faults)
    through = sum(not row.held for row in rows)
    yield f"{len(rows) - through} of {len(rows)} attacks held."


def _cells(row: Row) -> tuple[str, ...]:
    calm, during = row.calm, row.during
    failed = f" ({during.health_failed} failed)" if during.health_failed else ""
    return (
        row.attack.full_name,
        f"{during.largest_ms:,.0f}",
        f"{calm.largest_ms:,.0f}",
        f"{during.p99_ms:,.0f}",
        f"{calm.p99_ms:,.0f}",
        f"{row.beside.p99_ms:,.0f}" if row.beside else "",
        f"{during.health_ms:,.0f}{failed}",
        f"+{row.peak:,.0f}",
        f"{row.grown:+,.0f}",
        row.found.said,
        "yes" if row.held else "**no**",
    )


def _markdown(rows: Sequence[Row]) -> Iterator[str]:
    yield "| " + " | ".join(HEAD) + " |"
    yield "| --- |" + " ---: |" * 8 + " --- | --- |"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in _cells(row)) + " |"


def _text(rows: Sequence[Row]) -> Iterator[str]:
    cells = [HEAD, *(tuple(cell.replace("**", "") for cell in _cells(row)) for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(HEAD))]
    for row in cells:
        numbers = [cell.rjust(width) for cell, width in zip(row[1:9], widths[1:9], strict=True)]
        yield "  ".join([row[0].ljust(widths[0]), *numbers, row[9].ljust(widths[9]), row[10]])
