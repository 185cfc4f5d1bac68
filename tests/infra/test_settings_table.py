"""docs/settings.md has every key of the stack with its default, and README's short table says the same."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from infra.config import ROOT, secret_keys


def rows(path: Path) -> list[str]:
    """Those of tables whose first cell begins with a key."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if re.match(r"\| `[a-z]", line)]


def defaults() -> dict[str, str]:
    """By key, the default that its row tells; words and empty cells are none of Pulumi.yaml's."""
    found: dict[str, str] = {}
    for row in rows(ROOT / "docs" / "settings.md"):
        keys, told = (cell.strip() for cell in row.split("|")[1:3])
        names = re.findall(r"`(\w+)`", keys)
        values = [value.strip() for value in told.split(", ")] if told else [""] * len(names)
        assert len(values) == len(names), row
        assert not found.keys() & set(names), row
        found |= dict(zip(names, values, strict=True))
    return found


def test_every_key_has_a_row_with_its_default() -> None:
    described = yaml.safe_load((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))["config"]
    told = defaults()
    assert told.keys() == described.keys()
    for key, value in told.items():
        default = described[key]["default"]
        wanted = str(default).lower() if isinstance(default, bool) else str(default)
        if key in secret_keys():
            assert value in {"(secret)", "generated"}, key
        elif wanted:
            assert value == f"`{wanted}`", key
        else:
            assert "`" not in value, key


def test_the_readme_s_rows_are_rows_of_it() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = [row for row in rows(ROOT / "README.md") if row in readme.split("## With Pulumi")[0]]
    assert len(table) > 9
    assert [row for row in table if row not in rows(ROOT / "docs" / "settings.md")] == []
