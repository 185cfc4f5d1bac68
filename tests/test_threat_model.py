"""docs/threat-model.md: every boundary has lines, and every line names tests that are there."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

NAMED = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")
HEADER = "| threat | wall | shown by |"


def boundaries() -> dict[str, list[list[str]]]:
    """The cells of each line of each boundary's table, by the boundary's heading."""
    text = (ROOT / "docs/threat-model.md").read_text(encoding="utf-8").partition("## Boundaries\n")[2]
    found = {}
    for section in text.split("\n### ")[1 if not text.startswith("### ") else 0 :]:
        title, _, rest = section.removeprefix("### ").partition("\n")
        lines = [line for line in rest.splitlines() if line.startswith("|")]
        assert lines[:1] == [HEADER], title
        found[title] = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]
    return found


LINES = [(title, line) for title, lines in boundaries().items() for line in lines]


def test_there_are_boundaries_and_each_has_lines() -> None:
    assert len(boundaries()) >= 7
    assert all(boundaries().values())


@pytest.mark.parametrize(("title", "line"), LINES, ids=[line[0][:50] for _, line in LINES])
def test_what_shows_a_wall_is_there(title: str, line: list[str]) -> None:
    assert len(line) == 3, f"{title}: a line has a threat, a wall and what shows it"
    named = NAMED.findall(line[2])
    assert named, f"{title}, {line[0]}: no test is named"
    for file, test in named:
        source = (ROOT / "tests" / file).read_text(encoding="utf-8")
        pattern = rf"^\s*(?:async )?def {test}\b" if test else r"^\s*(?:async )?def test_"
        assert re.search(pattern, source, re.MULTILINE), f"{title}, {line[0]}: {file}::{test}"
