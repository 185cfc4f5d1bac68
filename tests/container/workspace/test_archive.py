"""Archives: what is packed comes back as it was, and nothing that comes in a hostile one gets out of its folder."""

from __future__ import annotations

import gzip
import io
import os
import socket
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from container.errors import BadRequest, PayloadTooLarge
from container.workspace import archive
from container.workspace.archive import pack, unpack

LIMIT = 64 * 1024 * 1024


def folders(root: Path) -> dict[str, Path]:
    made = {"workspace": root / "workspace", "home": root / "home"}
    for path in made.values():
        path.mkdir(parents=True, exist_ok=True)
    return made


def packed(roots: dict[str, Path], skip: frozenset[str] = frozenset()) -> bytes:
    return b"".join(pack(roots, skip))


def tree(root: Path) -> dict[str, tuple[int, int, object]]:
    """Path → mode, time in milliseconds, and content, link or None."""
    found: dict[str, tuple[int, int, object]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content: object = None
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        when = 0 if path.is_symlink() else status.st_mtime_ns // 1_000_000
        mode = 0 if path.is_symlink() else stat.S_IMODE(status.st_mode)
        found[str(path.relative_to(root))] = (mode, when, content)
    return found


def hostile(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **fields: Any) -> Any:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def test_everything_comes_back_as_it_was(tmp_path: Path) -> None:
    before, after = folders(tmp_path / "before"), folders(tmp_path / "after")
    workspace = before["workspace"]
    (workspace / "src" / "deep").mkdir(parents=True)
    (workspace / "empty").mkdir(mode=0o750)
    (workspace / "src" / "run.sh").write_bytes(b"#!/bin/sh\n")
    (workspace / "src" / "run.sh").chmod(0o755)
    (workspace / "src" / "deep" / "big").write_bytes(os.urandom(1_500_001))
    (workspace / "nothing").touch()
    (workspace / ("ä" * 60 + " and a long name")).write_text("x")
    Path(os.fsdecode(os.fsencode(workspace) + b"/not-utf8-\xff")).write_text("y")
    (workspace / "python").symlink_to("/usr/bin/python3")
    (workspace / "sideways").symlink_to("src/run.sh")
    (before["home"] / ".claude" / "projects").mkdir(parents=True)
    (before["home"] / ".claude" / "projects" / "a.jsonl").write_text("{}\n")
    os.utime(workspace / "src" / "run.sh", ns=(1_600_000_000_123_000_000,) * 2)
    (workspace / "src" / "deep").chmod(0o500)
    os.utime(workspace / "src" / "deep", (1_500_000_000,) * 2)
    content = packed(before)
    assert unpack(io.BytesIO(content), after, (), limit=LIMIT) > 1_500_001
    assert tree(after["workspace"]) == tree(workspace)
    assert tree(after["home"]) == tree(before["home"])


def test_what_is_there_is_replaced_and_what_is_skipped_stays_out(tmp_path: Path) -> None:
    before, after = folders(tmp_path / "before"), folders(tmp_path / "after")
    for name in (".cache/big", ".vaporforge/runs/a.jsonl", ".vaporforge/sdk-session", ".bashrc"):
        (before["home"] / name).parent.mkdir(parents=True, exist_ok=True)
        (before["home"] / name).write_text("before")
        (after["home"] / name).parent.mkdir(parents=True, exist_ok=True)
        (after["home"] / name).write_text("after")
    skip = frozenset({"home/.cache", "home/.vaporforge/runs"})
    for content in (packed(before, skip), packed(before)):
        unpack(io.BytesIO(content), after, skip, limit=LIMIT)
        assert (after["home"] / ".cache/big").read_text() == "after"
        assert (after["home"] / ".vaporforge/runs/a.jsonl").read_text() == "after"
        assert (after["home"] / ".vaporforge/sdk-session").read_text() == "before"
        assert (after["home"] / ".bashrc").read_text() == "before"


def test_pipes_and_sockets_are_left_out_and_nothing_hangs(tmp_path: Path) -> None:
    before, after = folders(tmp_path / "before"), folders(tmp_path / "after")
    os.mkfifo(before["workspace"] / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(before["workspace"] / "s"))
        (before["workspace"] / "file").write_text("kept")
        unpack(io.BytesIO(packed(before)), after, (), limit=LIMIT)
    assert tree(after["workspace"]).keys() == {"file"}


@pytest.mark.parametrize(
    "change", [lambda file: file.truncate(5), lambda file: file.write(b"more" * 9999)], ids=["cut", "grown"]
)
def test_a_file_that_changes_meanwhile_keeps_the_archive_whole(
    tmp_path: Path, change: Callable[[Any], Any]
) -> None:
    before, after = folders(tmp_path / "before"), folders(tmp_path / "after")
    (before["workspace"] / "a-log").write_bytes(os.urandom(2_000_000))
    (before["workspace"] / "z").write_text("kept")
    chunks = pack(before, ())
    content = next(chunks)
    with (before["workspace"] / "a-log").open("ab") as file:
        change(file)
    unpack(io.BytesIO(content + b"".join(chunks)), after, (), limit=LIMIT)
    assert (after["workspace"] / "a-log").stat().st_size == 2_000_000
    assert (after["workspace"] / "z").read_text() == "kept"


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([member("/etc/passwd", content=b"x")], "leads elsewhere"),
        ([member("../outside", content=b"x")], "leads elsewhere"),
        ([member("workspace/../../outside", content=b"x")], "leads elsewhere"),
        ([member("workspace/a/../../../outside", content=b"x")], "leads elsewhere"),
        ([member("elsewhere/file", content=b"x")], "leads elsewhere"),
        ([member("workspace", kind=tarfile.SYMTYPE, linkname="/etc")], "leads elsewhere"),
        ([member("workspace/dev", kind=tarfile.CHRTYPE, devmajor=1, devminor=3)], "is no folder"),
        ([member("workspace/dev", kind=tarfile.BLKTYPE)], "is no folder"),
        ([member("workspace/pipe", kind=tarfile.FIFOTYPE)], "is no folder"),
        ([member("workspace/hard", kind=tarfile.LNKTYPE, linkname="/etc/passwd")], "is no folder"),
        (
            [
                member("workspace/out", kind=tarfile.SYMTYPE, linkname="{outside}"),
                member("workspace/out/file", content=b"x"),
            ],
            "leads through a link",
        ),
        (
            [
                member("workspace/out", kind=tarfile.SYMTYPE, linkname="{outside}"),
                member("workspace/out", kind=tarfile.DIRTYPE),
            ],
            "leads through a link",
        ),
        (
            [
                member("workspace/out", kind=tarfile.DIRTYPE, mode=0o700),
                member("workspace/out", kind=tarfile.SYMTYPE, linkname="{outside}"),
            ],
            "would replace a folder",
        ),
        (
            [member("workspace/there/file", content=b"x")],  # `there` is a link that is on the disk already
            "leads through a link",
        ),
        (
            [member("workspace/file", content=b"x"), member("workspace/file/b", content=b"x")],
            "through a file",
        ),
    ],
    ids=[
        "absolute",
        "dots",
        "dots-inside",
        "dots-deep",
        "another-root",
        "root-as-link",
        "character-device",
        "block-device",
        "pipe",
        "hard-link",
        "through-its-link",
        "link-as-folder",
        "folder-as-link",
        "through-a-link-there",
        "through-a-file",
    ],
)
def test_a_hostile_archive_is_refused(
    tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]], why: str
) -> None:
    after, outside = folders(tmp_path / "after"), tmp_path / "outside"
    outside.mkdir()
    (after["workspace"] / "there").symlink_to(outside)
    for info, _ in members:
        info.linkname = info.linkname.replace("{outside}", str(outside))
    with pytest.raises(BadRequest, match=why):
        unpack(hostile(*members), after, (), limit=LIMIT)
    assert list(outside.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"after", "outside"}


def test_a_link_is_replaced_by_a_file_never_written_through(tmp_path: Path) -> None:
    after, outside = folders(tmp_path / "after"), tmp_path / "outside"
    outside.write_text("untouched")
    (after["workspace"] / "file").symlink_to(outside)
    link = member("workspace/again", kind=tarfile.SYMTYPE, linkname=str(outside))
    unpack(
        hostile(member("workspace/file", content=b"new"), link, member("workspace/again", content=b"new")),
        after,
        (),
        limit=LIMIT,
    )
    assert outside.read_text() == "untouched"
    assert (after["workspace"] / "file").read_text() == "new"
    assert not (after["workspace"] / "again").is_symlink()


def test_no_rights_beyond_the_ordinary_come_in(tmp_path: Path) -> None:
    after = folders(tmp_path / "after")
    unpack(hostile(member("workspace/sudo", content=b"x", mode=0o6755)), after, (), limit=LIMIT)
    assert stat.S_IMODE((after["workspace"] / "sudo").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    "members",
    [
        [member(f"workspace/{number}") for number in range(60)],
        [member("workspace/" + "d/" * 60 + "file")],
        [member(f"workspace/{number}", kind=tarfile.SYMTYPE, linkname="x") for number in range(60)],
    ],
)
def test_files_without_number_are_stopped_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    monkeypatch.setattr(archive, "ENTRIES", 50)
    after = folders(tmp_path / "after")
    with pytest.raises(PayloadTooLarge, match="more than 50 files"):
        unpack(hostile(*members), after, (), limit=LIMIT)
    assert sum(1 for _ in after["workspace"].rglob("*")) <= 51


def test_what_packs_small_is_stopped_at_the_limit(tmp_path: Path) -> None:
    after = folders(tmp_path / "after")
    with pytest.raises(PayloadTooLarge):
        unpack(hostile(member("workspace/bomb", content=bytes(3_000_000))), after, (), limit=1_000_000)


def test_a_cut_or_changed_archive_is_damaged(tmp_path: Path) -> None:
    before = folders(tmp_path / "before")
    (before["workspace"] / "a").write_bytes(os.urandom(100_000))
    (before["workspace"] / "b").write_bytes(os.urandom(100_000))
    content = packed(before)
    plain = gzip.decompress(content)
    cuts = [content[:size] for size in (0, 5, 1000, len(content) // 2, len(content) - 20, len(content) - 1)]
    flipped = bytearray(content)
    flipped[len(content) // 3] ^= 1
    at_a_header = gzip.compress(plain)[: -len(gzip.compress(plain)) // 2]
    for number, damaged in enumerate([*cuts, bytes(flipped), at_a_header, b"not an archive at all"]):
        after = folders(tmp_path / f"after-{number}")
        with pytest.raises(BadRequest, match="damaged"):
            unpack(io.BytesIO(damaged), after, (), limit=LIMIT)


def test_a_file_with_holes_is_refused_whatever_it_packs_to(tmp_path: Path) -> None:
    roots = folders(tmp_path)
    holes = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 40)}
    buffer = hostile(member("workspace/sparse", content=b"x", pax_headers=holes))
    with pytest.raises(BadRequest, match="has holes"):
        unpack(buffer, roots, (), limit=LIMIT)
    assert list(roots["workspace"].iterdir()) == []
