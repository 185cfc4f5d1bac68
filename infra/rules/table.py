"""The table of rules in docs/settings.md: `python -m infra.rules.table` writes it anew."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from infra.config import ROOT
from infra.rules import facts
from infra.rules.check import RULES
from infra.rules.rule import BOTH

PAGE: Final = ROOT / "docs" / "settings.md"

MARKS: Final = re.compile(r"(<!-- rules -->\n).*?(<!-- end of rules -->)", re.DOTALL)


def lines() -> Iterator[str]:
    """The rules, then the sizes of tasks."""
    yield "| on | must hold | why |"
    yield "| --- | --- | --- |"
    for rule in RULES:
        where = "both" if rule.targets == BOTH else ", ".join(sorted(rule.targets))
        yield f"| {where} | {rule.told} | {rule.why} |"
    yield ""
    yield "### Sizes on Fargate"
    yield "| CPUs | memory, MiB |"
    yield "| --- | --- |"
    for cpus, sizes in facts.FARGATE_SIZES.items():
        known = [size for size in sizes if (cpus, size) != facts.NO_SIZE]
        told = (
            ", ".join(map(str, known))
            if len(known) < 4
            else f"{known[0]} to {known[-1]} in steps of {sizes.step}"
        )
        yield f"| {cpus:g} | {told} |"


def written(page: str) -> str:
    """The page with the table as it must be. Raises `ValueError` for one without its marks."""
    text = "\n".join(lines())
    found, count = MARKS.subn(lambda marks: f"{marks[1]}{text}\n{marks[2]}", page)
    if count != 1:
        raise ValueError("docs/settings.md has no place for the rules")
    return found


def main(path: Path = PAGE) -> None:
    path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{path}: {len(RULES)} rules\n")


if __name__ == "__main__":
    main()
