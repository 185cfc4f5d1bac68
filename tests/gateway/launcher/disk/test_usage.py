"""Counting what a folder takes: blocks and not sizes, names once, nothing followed, no depth that is not bounded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.launcher.disk import usage
from gateway.launcher.disk.usage import Count, Usage, measure

MIB = 1024 * 1024


def _fill(path: Path, size: int) -> None:
    path.write_bytes(os.urandom(size))
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def test_nothing_is_nothing(tmp_path: Path) -> None:
    assert measure([str(tmp_path)]) == Usage()
    assert measure([str(tmp_path / "absent")]) == Usage()


def test_a_file_counts_by_its_blocks_and_a_hole_for_nothing(tmp_path: Path) -> None:
    _fill(tmp_path / "full", 2 * MIB)
    with (tmp_path / "sparse").open("wb") as sparse:
        sparse.truncate(4 * 1024 * 1024 * MIB)
    found = measure([str(tmp_path)])
    assert 2 * MIB <= found.size < 3 * MIB
    assert (found.inodes, found.whole) == (2, True)


def test_several_folders_count_together_with_what_is_below(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "deep" / "deeper").mkdir(parents=True)
        _fill(tmp_path / name / "deep" / "deeper" / "file", MIB)
    found = measure([str(tmp_path / "a"), str(tmp_path / "b")])
    assert found.size >= 2 * MIB
    assert found.inodes == 6


def test_the_blocks_of_a_file_of_many_names_count_once(tmp_path: Path) -> None:
    _fill(tmp_path / "one", 3 * MIB)
    for number in range(9):
        (tmp_path / f"name{number}").hardlink_to(tmp_path / "one")
    found = measure([str(tmp_path)])
    assert found.inodes == 10
    assert 3 * MIB <= found.size < 4 * MIB


def test_names_without_number_for_one_file_take_no_longer_than_as_many_files(tmp_path: Path) -> None:
    """A file may have 65,000 names: what is counted is what takes the time."""
    (tmp_path / "one").touch()
    for number in range(100):
        (tmp_path / f"name{number}").hardlink_to(tmp_path / "one")
    assert measure([str(tmp_path)], most_inodes=50) == Usage(0, 51, whole=False)


def test_without_a_limit_of_files_there_is_still_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "NAMES", 10)
    for number in range(20):
        (tmp_path / f"{number}").touch()
    assert measure([str(tmp_path)]) == Usage(0, 10, whole=False, endless=True)


def test_a_folder_that_no_file_is_left_to_open_for_hides_nothing(tmp_path: Path) -> None:
    """Engines give containers as few as 1,024 open files: what lies deeper must not count for nothing."""
    here = tmp_path
    for _ in range(40):
        here = here / "d"
        here.mkdir()
    _fill(here / "file", MIB)
    count = (
        "import resource, sys\n"
        "from gateway.launcher.disk.usage import measure\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))\n"
        "print(measure([sys.argv[1]]).endless)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", count, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"


def test_names_of_any_bytes_are_counted(tmp_path: Path) -> None:
    for name in (b"\xff\xfe", b"line\nbreak", b"\x1b[2J", "\u202e".encode()):
        folder = tmp_path / os.fsdecode(name)
        folder.mkdir()
        (folder / "file").touch()
    assert measure([str(tmp_path)]).inodes == 8


def test_no_link_is_followed(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    _fill(outside / "file", MIB)
    (inside / "link").symlink_to(outside)
    (inside / "loop").symlink_to(inside)
    found = measure([str(inside)])
    assert found.inodes == 2
    assert found.size < MIB


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    assert measure([str(tmp_path)]).inodes == 1


def test_a_count_ends_where_there_is_more_than_asked_for(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number}").touch()
    found = measure([str(tmp_path)], most_inodes=10)
    assert (found.inodes, found.whole) == (11, False)
    _fill(tmp_path / "large", 2 * MIB)
    assert not measure([str(tmp_path)], most_size=MIB).whole
    assert measure([str(tmp_path)], most_size=3 * MIB, most_inodes=51).whole


def test_folders_too_deep_to_be_looked_into_are_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "DEPTH", 20)
    here = tmp_path
    for _ in range(19):
        here = here / "d"
        here.mkdir()
    assert measure([str(tmp_path)]) == Usage(measure([str(tmp_path)]).size, 19, whole=True)
    (here / "d").mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    found = measure([str(tmp_path)])
    assert (found.whole, found.endless) == (False, True)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_path_longer_than_any_call_takes_is_counted(tmp_path: Path) -> None:
    """PATH_MAX (4,096) hides nothing: folders are opened one inside the other."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(50):
        os.mkdir("d" * 200, dir_fd=descriptor)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    assert measure([str(tmp_path)]).inodes == 51


def test_a_count_pauses(tmp_path: Path) -> None:
    for number in range(usage.SLICE * 2):
        (tmp_path / f"{number}").touch()
    assert len(list(Count([str(tmp_path)]).slices())) == 2


def test_what_its_owner_has_closed_is_counted(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "file").touch()
    closed.chmod(0)
    is_root = os.geteuid() == 0  # who may look into any folder, as the launcher may in its container
    if is_root:
        os.chown(closed, 10001, 10001)
    assert measure([str(tmp_path)]).inodes == 1 + is_root
    closed.chmod(0o700)
