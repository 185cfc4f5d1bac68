"""Draws the rooms and who imports whom, from the imports themselves, into docs/architecture.md: `scripts/map`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator

from tests.imports import ROOT, graph
from tests.rooms import FLOORS, floor_of, room_of

PAGE = ROOT / "docs" / "architecture.md"
MARKS = re.compile(r"(<!-- map: made by scripts/map -->\n).*?(<!-- end of map -->)", re.DOTALL)

EVERYBODYS = frozenset({"words", "concurrency"})
"""Rooms that every other one uses: an arrow to them says nothing."""


def arrows(package: str) -> list[tuple[str, str]]:
    """Who imports whom among a package's rooms, top down."""
    found = set()
    for module, imported in graph().items():
        for other in imported:
            if module.startswith(package) and other.partition(".")[0] == package:
                upper, lower = room_of(module)[1], room_of(other)[1]
                if upper != lower and lower not in EVERYBODYS:
                    found.add((upper, lower))
    return sorted(found, key=lambda pair: (-floor_of(package, pair[0]), -floor_of(package, pair[1]), pair))


def picture() -> Iterator[str]:
    """The picture as Mermaid's text, a line at a time."""
    yield "```mermaid"
    yield "flowchart TD"
    for package in ("gateway", "container", "infra"):
        yield f'  subgraph {package}["{package}/"]'
        for room in (room for floor in FLOORS[package] for room in floor.split(" | ")):
            yield f'    {_id(package, room)}["{room.replace(".", "/")}"]'
        yield "  end"
        for upper, lower in arrows(package):
            yield f"  {_id(package, upper)} --> {_id(package, lower)}"
    yield "  gateway -. container/protocol.py .-> container"
    yield "```"


def _id(package: str, room: str) -> str:
    return f"{package}_{re.sub(r'[^a-z]', '_', room)}"


def main() -> int:
    """Write the picture, or with `--check` say whether it is of today."""
    parser = argparse.ArgumentParser(
        prog="scripts/map", description="Draw the rooms and their imports in docs/architecture.md."
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 when the picture is stale"
    )
    options = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    fresh, found = MARKS.subn(lambda marks: marks[1] + "\n".join(picture()) + "\n" + marks[2], page)
    if not found:
        sys.stderr.write(f"{PAGE.name} has no place for the picture: <!-- map: made by scripts/map -->\n")
        return 1
    if fresh != page and options.check:
        sys.stderr.write(f"the picture in {PAGE.name} is not of today's imports: run scripts/map\n")
        return 1
    if fresh != page:
        PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
