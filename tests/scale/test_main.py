"""The command: its tables, its figure, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.scale.__main__ import main


def tables(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def test_the_same_seed_prints_the_same_tables(capsys: pytest.CaptureFixture[str]) -> None:
    one = tables(capsys, "--sessions", "2000", "--users", "20000", "--seed", "7")
    assert one == tables(capsys, "--sessions", "2000", "--users", "20000", "--seed", "7")
    assert one != tables(capsys, "--sessions", "2000", "--users", "20000", "--seed", "8")
    for title in (
        "What comes",
        "Calls of the table",
        "What breaks",
        "Gateways of",
        "Pool that",
        "A zone of",
        "Cells",
    ):
        assert f"\n{title}" in one


def test_the_figure_is_an_svg_for_light_and_for_dark_pages(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "scale.svg"
    tables(capsys, "--sessions", "2000", "--figure", str(path))
    drawn = path.read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in drawn
    root = ET.fromstring(drawn)
    shown = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "a partition of the index" in shown
    assert "planned: 2,000" in shown


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--seed", "-1"], "--seed is -1; it must be 0 to"),
        (["--seed", "x"], "argument --seed: invalid int value: 'x'"),
        (["--users", "0"], "--users is 0; it must be 1 to"),
        (["--sessions", "499"], "--sessions is 499; it must be 500 to"),
        (["--sessions", "1000001"], "--sessions is 1000001; it must be 500 to"),
        (
            ["--users", "10", "--sessions", "501"],
            "10 users may have 500 live at once (50 each): raise --users",
        ),
        (["--figure", "/no/such/folder/x.svg"], "--figure: there is no folder /no/such/folder"),
        (["--pigs"], "unrecognized arguments: --pigs"),
    ],
)
def test_a_bad_argument_is_named(
    capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert named in capsys.readouterr().err
