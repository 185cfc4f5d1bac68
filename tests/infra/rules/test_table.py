"""The page of settings has the table of rules as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.rules import table
from infra.rules.check import RULES


def test_the_page_has_every_rule_as_it_is() -> None:
    page = table.PAGE.read_text(encoding="utf-8")
    assert page == table.written(page), "stale: python -m infra.rules.table"
    for rule in RULES:
        assert f"| {rule.told} | {rule.why} |" in page


def test_it_is_written_into_its_place_and_nowhere_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "settings.md"
    page.write_text("before\n<!-- rules -->\nold\n<!-- end of rules -->\nafter\n", encoding="utf-8")
    table.main(page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- rules -->\n| on | must hold | why |\n")
    assert text.endswith("|\n<!-- end of rules -->\nafter\n")
    assert "\nold\n" not in text
    assert f"{len(RULES)} rules" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no place"):
        table.written("nothing")
