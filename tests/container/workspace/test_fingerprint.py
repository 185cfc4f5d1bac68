"""The name of what a snapshot would hold: another one for every change, the same while nobody changes anything."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from container.workspace.fingerprint import fingerprint

SKIP = frozenset({"home/.cache"})


@pytest.fixture
def roots(tmp_path: Path) -> dict[str, Path]:
    """A workspace with a file in a folder and a link, and a home."""
    found = {name: tmp_path / name for name in ("workspace", "home")}
    for folder in (*found.values(), found["workspace"] / "src", found["home"] / ".cache"):
        folder.mkdir()
    (found["workspace"] / "src" / "a.txt").write_text("one")
    (found["workspace"] / "link").symlink_to("src/a.txt")
    return found


def same_size_and_time(folder: Path) -> None:
    path = folder / "src" / "a.txt"
    before = path.stat()
    path.write_text("two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def another_target(folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "link").symlink_to("src/b.txt")


CHANGES: dict[str, Callable[[Path], object]] = {
    "longer": lambda folder: (folder / "src" / "a.txt").write_text("longer"),
    "renamed": lambda folder: (folder / "src" / "a.txt").rename(folder / "src" / "b.txt"),
    "mode": lambda folder: (folder / "src" / "a.txt").chmod(0o755),
    "deleted": lambda folder: (folder / "src" / "a.txt").unlink(),
    "a folder": lambda folder: (folder / "empty").mkdir(),
    "of the same size and time": same_size_and_time,
    "another target": another_target,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_gives_another_name(roots: dict[str, Path], change: str) -> None:
    before = fingerprint(roots, SKIP, seconds=60)
    assert len(before) == 32
    CHANGES[change](roots["workspace"])
    assert fingerprint(roots, SKIP, seconds=60) != before


def test_what_is_left_out_of_snapshots_changes_nothing(roots: dict[str, Path]) -> None:
    before = fingerprint(roots, SKIP, seconds=60)
    (roots["home"] / ".cache" / "new").write_text("x")
    assert fingerprint(roots, SKIP, seconds=60) == before
    (roots["home"] / "new").write_text("x")
    assert fingerprint(roots, SKIP, seconds=60) != before


def test_names_that_are_no_text_are_told_too(roots: dict[str, Path]) -> None:
    before = fingerprint(roots, SKIP, seconds=60)
    Path(os.fsdecode(os.fsencode(roots["workspace"]) + b"/\xff")).write_text("x")
    assert fingerprint(roots, SKIP, seconds=60) != before


def test_one_that_takes_too_long_has_no_name(roots: dict[str, Path]) -> None:
    assert fingerprint(roots, SKIP, seconds=-1) == ""
