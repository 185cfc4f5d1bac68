"""The table of the seed's features in docs/protocol.md: every test that it names is there."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

ROW = re.compile(r"^\| (\d+(?:\.\d+)?\b[^|]*) \|[^|]*\| ([^|]*) \|$", re.MULTILINE)
PYTEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
NODE = re.compile(r"`(page/[\w./-]+\.test\.js)`|(?<![\w`])\"([^\"]+)\"")


def section() -> str:
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    return text.partition("## 5. The seed, feature by feature")[2]


def rows() -> list[tuple[str, str]]:
    return ROW.findall(section())


def test_every_task_of_the_seed_has_a_row() -> None:
    tasks = {int(re.split(r"\D", name)[0]) for name, _ in rows()}
    assert tasks == set(range(1, 12))


@pytest.mark.parametrize(("name", "shown"), rows(), ids=[name[:40] for name, _ in rows()])
def test_what_shows_a_feature_exists(name: str, shown: str) -> None:
    named = PYTEST.findall(shown)
    for file, test in named:
        source = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert re.search(rf"^\s*(?:async )?(?:def |class )?{test}\b", source, re.MULTILINE), (
            f"{name}: {file}::{test}"
        )
    titles: list[tuple[str, str]] = []
    file = ""
    for found, title in NODE.findall(shown):
        file = found or file
        if title:
            titles.append((file, title))
    for file, title in titles:
        assert f'"{title}"' in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{name}: {title}"
    assert named or titles
