"""terminal.py: outputs are what a terminal shows of them. The cases are those of tests/page/shared/terminal.test.js."""

from __future__ import annotations

import json
import time

import pytest

from container.agents.terminal import as_terminal_shows
from tests.conftest import ROOT

CASES: list[tuple[str, str]] = json.loads((ROOT / "tests/page/shared/terminal-cases.json").read_text())


@pytest.mark.parametrize(("output", "shown"), CASES)
def test_an_output_is_what_a_terminal_shows(output: str, shown: str) -> None:
    assert as_terminal_shows(output) == shown


def test_long_outputs_take_no_longer_than_they_are_long() -> None:
    began = time.monotonic()
    for part in ("1%\r", "x\b", "\x1b[31mred\x1b[0m", "\n\x1b[200Cx", "\x1b[1K", "a\n\x1b[A"):
        as_terminal_shows(part * (250_000 // len(part)))
    assert time.monotonic() - began < 10
