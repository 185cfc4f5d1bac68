"""Frame logs of an earlier version: copied once, as they are, the newest of them, and nothing that is no log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from container.runs import taking
from container.runs.taking import take_over
from container.uids import SAME


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "home" / "runs"
    folder.mkdir(parents=True)
    return folder


def log(folder: Path, name: str, text: str = "{}\n", *, at: int = 1) -> None:
    path = folder / f"{name}.jsonl"
    path.write_text(text)
    os.utime(path, (at, at))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_logs_are_taken_with_their_times_and_the_old_place_is_gone(old: Path, tmp_path: Path) -> None:
    log(old, "a", "first\n", at=10)
    log(old, "b.recorded", "second\n", at=20)
    new = tmp_path / "state" / "runs"
    take_over(old, new, SAME)
    assert names(new) == ["a.jsonl", "b.recorded.jsonl"]
    assert (new / "a.jsonl").read_text() == "first\n"
    assert [(new / name).stat().st_mtime for name in names(new)] == [10, 20]
    assert new.stat().st_mode & 0o777 == 0o700
    assert not old.exists()


def test_what_comes_later_is_no_log(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "state" / "runs"
    take_over(old, new, SAME)
    old.mkdir()
    log(old, "planted")
    take_over(old, new, SAME)
    assert names(new) == []


def test_one_that_was_cut_short_is_done_again(old: Path, tmp_path: Path) -> None:
    log(old, "a")
    draft = tmp_path / "state" / "runs.new"
    draft.mkdir(parents=True)
    (draft / "half.jsonl").touch()
    take_over(old, tmp_path / "state" / "runs", SAME)
    assert names(tmp_path / "state") == ["runs"]
    assert names(tmp_path / "state" / "runs") == ["a.jsonl"]


def test_links_pipes_and_folders_are_left(old: Path, tmp_path: Path) -> None:
    log(old, "a")
    (old / "link.jsonl").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(old / "pipe.jsonl")
    (old / "folder.jsonl").mkdir()
    new = tmp_path / "state" / "runs"
    take_over(old, new, SAME)
    assert names(new) == ["a.jsonl"]


@pytest.mark.parametrize(("most", "value"), [("MOST_LOGS", 2), ("MOST_BYTES", 6)])
def test_the_newest_are_taken_as_far_as_they_are_bounded(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: str, value: int
) -> None:
    monkeypatch.setattr(taking, most, value)
    for at, name in enumerate("abcd", 1):
        log(old, name, at=at)
    new = tmp_path / "state" / "runs"
    take_over(old, new, SAME)
    assert names(new) == ["c.jsonl", "d.jsonl"]


def test_a_place_that_never_was_is_fine(tmp_path: Path) -> None:
    take_over(tmp_path / "none", tmp_path / "state" / "runs", SAME)
    assert names(tmp_path / "state" / "runs") == []
