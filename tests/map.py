"""Draws the rooms and who imports whom, from the imports themselves, into docs/architecture.md: `scripts/map`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.imports import ROOT, graph
from tests.rooms import FLOORS, floor_of, room_of

PAGE = ROOT / "docs" / "architecture.md"
MARKS = re.compile(r"(<!-- map: made by scripts/map -->\n).*?(<!-- end of map -->)", re.DOTALL)

IMPORT = re.compile(r'^(?:import|export)\b[^"]*?"(\.[^"]+)";', re.MULTILINE)

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


def page_arrows() -> list[tuple[str, str]]:
    """Who imports whom among the rooms of the page; `page` is its entry."""
    found = set()
    for path in (ROOT / "gateway" / "static").rglob("*.js"):
        name = path.relative_to(ROOT / "gateway" / "static")
        for imported in IMPORT.findall(path.read_text(encoding="utf-8")):
            other = (path.parent / imported).resolve().relative_to(ROOT / "gateway" / "static")
            pair = (_page_room(name), _page_room(other))
            if "vendor" not in (pair[0], pair[1]) and pair[0] != pair[1] and pair[1] != "shared":
                found.add(pair)
    return sorted(found)


def _page_room(name: Path) -> str:
    return name.parts[0] if len(name.parts) > 1 else name.stem


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
    yield '  subgraph page["gateway/static/"]'
    for room in sorted({room for pair in page_arrows() for room in pair}):
        yield f'    {_id("page", room)}["{room}"]'
    yield "  end"
    for upper, lower in page_arrows():
        yield f"  {_id('page', upper)} --> {_id('page', lower)}"
    yield "  page -. docs/protocol.md .-> gateway"
    yield "  gateway -. protocol.py, claim.py, listener and redaction in container/ .-> container"
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
