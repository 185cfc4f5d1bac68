"""The reading of a pack beside git's own."""

from __future__ import annotations

import contextlib
import hashlib
import random
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.broker.git.commits import Commits
from gateway.broker.git.pack_entries import BadPack, patched
from tests.gateway.broker.git.git_host import QUIET, run_git

ROOM: dict[str, Any] = {"kept_bytes": 1 << 20, "unpacked_bytes": 1 << 26}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    run_git(folder, "init", "-q", "-b", "main")
    for number in range(30):
        (folder / "text").write_text("the same words\n" * 500 + str(number))
        run_git(folder, "add", ".")
        run_git(folder, "commit", "-qm", f"{number}\n\n" + "a long text that all of them have\n" * 40)
        if number == 10:
            run_git(folder, "branch", "side")
    run_git(folder, "checkout", "-q", "side")
    (folder / "side").write_text("side")
    run_git(folder, "add", ".")
    run_git(folder, "commit", "-qm", "side")
    run_git(folder, "checkout", "-q", "main")
    run_git(folder, "merge", "-q", "side")
    return folder


@pytest.fixture(scope="module")
def pack(repository: Path) -> bytes:
    return subprocess.run(
        [
            "git",
            "pack-objects",
            "--all",
            "--stdout",
            "--delta-base-offset",
            "--depth=40",
            "--window=60",
            "-q",
        ],
        cwd=repository,
        env=QUIET,
        input=b"",
        stdout=subprocess.PIPE,
        check=True,
    ).stdout


def parents_of(repository: Path) -> dict[str, tuple[str, ...]]:
    lines = run_git(repository, "rev-list", "--all", "--parents").splitlines()
    return {words[0]: tuple(words[1:]) for words in map(str.split, lines)}


@given(seed=st.integers(0, 2**32), longest=st.sampled_from([1, 7, 300, 65536]))
def test_in_any_pieces_it_finds_what_git_does(repository: Path, pack: bytes, seed: int, longest: int) -> None:
    if longest == 1:
        seed = 0
    commits, draw, at = Commits(**ROOM), random.Random(seed), 0
    while at < len(pack):
        size = draw.randint(1, longest)
        commits.feed(pack[at : at + size])
        at += size
    assert commits._parents == parents_of(repository)


def test_forebears(repository: Path, pack: bytes) -> None:
    commits = Commits(**ROOM)
    commits.feed(pack)
    parents = parents_of(repository)
    head, side = (run_git(repository, "rev-parse", name).strip() for name in ("main", "side"))
    assert all(commits.only_adds(old, head) for old in parents if old != head)
    assert not commits.only_adds(head, side)
    assert not commits.only_adds(head, head)
    assert not commits.only_adds("0" * 39 + "1", head)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = zlib.compress(bytes(1 << 24))
    size, head = 1 << 24, bytearray([3 << 4 | 128 | (1 << 24 & 15)])
    left = size >> 4
    while left:
        head.append(left & 127 | (128 if left > 127 else 0))
        left >>= 7
    commits = Commits(kept_bytes=1 << 16, unpacked_bytes=1 << 20)
    with pytest.raises(BadPack, match="more than it says or may"):
        commits.feed(b"PACK\0\0\0\x02\0\0\0\x01" + bytes(head) + bomb)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PACX\0\0\0\x02\0\0\0\x01", "no pack"),
        (b"PACK\0\0\0\x09\0\0\0\x01", "no pack"),
        (b"PACK\0\0\0\x02\0\0\0\x01" + b"\x05" + zlib.compress(b"abcde"), "no known kind"),
        (b"PACK\0\0\0\x02\0\0\0\x01" + b"\x35" + b"not zlib at all", "does not unpack"),
        (b"PACK\0\0\0\x02\0\0\0\x01" + b"\x36" + zlib.compress(b"abcde"), "shorter than it says"),
        (b"PACK\0\0\0\x02\0\0\0\x01" + b"\xff" * 20, "number is too long"),
        (b"PACK\0\0\0\x02\0\0\0\x00" + b"x" * 21, "behind its end"),
        (b"PACK\0\0\0\x02\xff\xff\xff\xff", "objects, and may have"),
    ],
)
def test_what_is_no_pack_is_told(data: bytes, said: str) -> None:
    with pytest.raises(BadPack, match=said):
        Commits(**ROOM).feed(data)


@given(base=st.binary(max_size=40), delta=st.binary(max_size=60))
def test_any_delta_ends(base: bytes, delta: bytes) -> None:
    with contextlib.suppress(BadPack):
        made, steps = patched(base, delta, 1000, 20)
        assert len(made) <= 1000
        assert steps <= 20


def test_only_what_stands_behind_the_tree_is_a_parent() -> None:
    old = "1" * 40
    people = "author a <a> 1 +0000\ncommitter a <a> 1 +0000\n"
    for text, has in (
        (f"tree {'2' * 40}\nparent {old}\n{people}\nm\n", True),
        (f"tree {'2' * 40}\n{people}parent {old}\n\nm\n", False),
        (f"parent {old}\ntree {'2' * 40}\n{people}\nm\n", False),
    ):
        commit = text.encode()
        commits = Commits(**ROOM)
        commits.feed(packed((1, len(commit), b"", commit)))
        assert commits.only_adds(old, hashlib.sha1(b"commit %d\0" % len(commit) + commit).hexdigest()) is has


@pytest.mark.parametrize(
    ("delta", "said"),
    [
        (b"\x03\x00" + b"\x81\xff" * 9, "what its base has not"),
        (b"\x03\x80\xc0\x3d" + b"\x90\x01" * 1_000_000, "too many deltas"),
    ],
)
def test_deltas_that_make_little_of_much_are_refused(delta: bytes, said: str) -> None:
    commits = Commits(kept_bytes=1 << 24, unpacked_bytes=1 << 26)
    base = (1, 3, b"", b"abc")
    back = len(packed(base)) - 12
    with pytest.raises(BadPack, match=said):
        commits.feed(packed(base, (6, len(delta), bytes([back]), delta)))


def test_small_commits_fill_no_memory() -> None:
    commits = Commits(**ROOM)
    with pytest.raises(BadPack, match="too large together"):
        commits.feed(packed(*((1, 4, b"", number.to_bytes(4, "big")) for number in range(5000))))


def test_ways_back_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.broker.git.commits.MOST_WALKED", 100)
    commits, names, objects = Commits(**ROOM), ["0" * 40], []
    for _ in range(20):
        commit = f"tree {'2' * 40}\nparent {names[-1]}\n\n".encode()
        names.append(hashlib.sha1(b"commit %d\0" % len(commit) + commit).hexdigest())
        objects.append((1, len(commit), b"", commit))
    commits.feed(packed(*objects))
    assert commits.only_adds(names[0], "f" * 40, names[-1])
    assert commits.ends("e" * 40, names[-1]) == {names[0]}
    with pytest.raises(BadPack, match="too many branches"):
        commits.ends("e" * 40, names[-1])


def packed(*objects: tuple[int, int, bytes, bytes]) -> bytes:
    """A pack without its digest, of `(kind, size, how far back, content)`."""
    data = b"PACK\0\0\0\x02" + len(objects).to_bytes(4, "big")
    for kind, size, back, content in objects:
        head, left = bytearray([kind << 4 | size & 15]), size >> 4
        while left:
            head[-1] |= 128
            head.append(left & 127)
            left >>= 7
        data += bytes(head) + back + zlib.compress(content)
    return data
