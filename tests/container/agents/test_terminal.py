"""terminal.py: outputs are what a terminal shows of them. The cases are those of tests/page/shared/terminal.test.js."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from container.agents import terminal
from container.agents.terminal import MAX_PADDING, as_terminal_shows
from tests.conftest import ROOT

CASES: list[tuple[str, str]] = json.loads((ROOT / "tests/page/shared/terminal-cases.json").read_text())


@pytest.mark.parametrize(("output", "shown"), CASES)
def test_an_output_is_what_a_terminal_shows(output: str, shown: str) -> None:
    assert as_terminal_shows(output) == shown


LONG = [
    ("", "1%\r"),
    ("", "x\b"),
    ("", "\x1b[31mred\x1b[0m"),
    ("", "\n\x1b[200Cx"),
    ("", "\x1bDx"),
    ("", "\x1b[1K"),
    ("", "a\n\x1b[A"),
    ("\n" * 5000 + "x" * 5000, "\x1b[A\x1b[2Ky"),
    ("\n" * 5000, "\x1b[2J"),
    ("x" * 5000 + "\r", "\x1b[200@"),
    ("\n" * 5000, "\x1b[H\x1b[9999B\x1b[J"),
]
"""Parts of which long outputs are made: the first once, the second over and over."""


class Counted(list[str]):
    """A line that counts the signs which are put into it."""

    put = 0

    def extend(self, values: Iterable[str]) -> None:
        signs = list(values)
        Counted.put += len(signs)
        super().extend(signs)

    def __setitem__(self, where: Any, values: Any) -> None:
        Counted.put += len(values)
        super().__setitem__(where, values)


@pytest.mark.parametrize(("before", "part"), LONG)
def test_long_outputs_are_as_much_work_as_they_are_long(
    before: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def line(screen: Any) -> list[str]:
        return screen._rows.setdefault(screen._row, Counted())  # type: ignore[no-any-return]

    monkeypatch.setattr(terminal._Screen, "_line", line)
    monkeypatch.setattr(Counted, "put", 0)
    output = before + part * (20_000 // len(part))
    shown = as_terminal_shows(output)
    # Each escape of four signs may touch a line of 200; blanks that escapes make are 100,000 at most.
    assert Counted.put <= 60 * len(output) + MAX_PADDING
    assert len(shown) <= len(output) + MAX_PADDING
