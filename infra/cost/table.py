"""The outputs `cost` and `capacity` as a table, for a terminal and docs/cost.md.

`python -m infra.cost.table` writes the page's anew."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from infra.config import ROOT, default_settings
from infra.cost import capacity, money

PAGE: Final = ROOT / "docs" / "cost.md"

MARKS: Final = re.compile(r"(<!-- by the defaults -->\n).*?(<!-- end -->)", re.DOTALL)

WIDTH: Final = 72


def lines(outputs: Mapping[str, Any]) -> Iterator[str]:
    """Of a stack's outputs; nothing of those that it does not have, as a stack of an earlier version."""
    cost, capacity = outputs.get("cost"), outputs.get("capacity")
    if isinstance(cost, Mapping):
        yield from _cost(cost)
    if isinstance(capacity, Mapping):
        yield from _capacity(capacity)


def written(page: str) -> str:
    """The page with the table of a stack by its defaults. Raises `ValueError` for one without its marks."""
    settings = default_settings("aws")
    text = "\n".join(lines({"cost": money.cost(settings), "capacity": capacity.on_aws(settings)}))
    found, count = MARKS.subn(lambda marks: f"{marks[1]}```\n{text}\n```\n{marks[2]}", page)
    if count != 1:
        raise ValueError("docs/cost.md has no place for the table")
    return found


def main(path: Path = PAGE) -> None:
    path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")


def _cost(cost: Mapping[str, Any]) -> Iterator[str]:
    region = cost.get("region")
    if "idleMonth" not in cost:
        yield f"Cost: {cost.get('told')}"
        return
    yield from _parts(f"Cost of a month in which nobody comes, USD, {region}", cost["idleMonth"], 2)
    yield from _parts("Cost of a session's hour, USD", cost["sessionHour"], 4)
    yield "What use adds, USD"
    for what, usd in cost["usage"].items():
        yield _row(str(what), f"{usd:g}")
    yield from _remark(cost["told"])


def _parts(title: str, parts: Mapping[str, float], digits: int) -> Iterator[str]:
    yield title
    for name, usd in parts.items():
        if name != "total":
            yield _row(name, f"{usd:.{digits}f}")
    yield _row("total", f"{parts['total']:.{digits}f}")


def _capacity(capacity: Mapping[str, Any]) -> Iterator[str]:
    yield f"Sessions with a sandbox at once: {_count(capacity['sessions'])}"
    for name, sessions in sorted(capacity["walls"].items(), key=lambda wall: float(wall[1])):
        yield _row(str(name), _count(sessions))
    yield f"    first: {capacity['first']}; for more: {capacity['more']}"
    yield from _remark(capacity["told"])


def _row(name: str, figure: str) -> str:
    return f"    {name:<{WIDTH}} {figure:>9}"


def _remark(words: str) -> Iterator[str]:
    yield from textwrap.wrap(f"({words})", WIDTH + 14, initial_indent="    ", subsequent_indent="    ")


def _count(number: float) -> str:
    return f"{number:,.0f}"


if __name__ == "__main__":
    main()
