"""Every kind of difference between two images is found, and none where there is none."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from scripts.lib.image_diff import Image, alike, differences, read_image

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CREATED = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T00:00:07Z"


def member(name: str, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mtime = 1767225600
    info.mode = 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def layer(files: Mapping[str, tuple[bytes, Mapping[str, Any]]]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, (content, fields) in files.items():
            info = member(name, **fields)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


FILES: Mapping[str, tuple[bytes, Mapping[str, Any]]] = {
    "app/": (b"", {"type": tarfile.DIRTYPE, "mode": 0o755}),
    "app/main.py": (b"print()", {}),
    "app/now": (b"", {"type": tarfile.SYMTYPE, "linkname": "main.py"}),
}


@pytest.fixture
def packed(tmp_path: Path) -> Any:
    """Makes an image's archive of one layer and a description, and reads it."""

    def pack(
        files: Mapping[str, tuple[bytes, Mapping[str, Any]]] = FILES, created: str = CREATED, **settings: Any
    ) -> Image:
        content = layer(files)
        config = {
            "created": created,
            "config": {"User": "1000", "Env": ["A=1"], **settings},
            "history": [{"created": created, "created_by": "RUN a"}],
            "rootfs": {"diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]},
        }
        manifest = [{"Config": "c.json", "Layers": ["l/layer.tar"]}]
        archive = tmp_path / "image.tar"
        with tarfile.open(archive, "w") as tar:
            for name, data in (
                ("c.json", json.dumps(config).encode()),
                ("l/layer.tar", content),
                ("manifest.json", json.dumps(manifest).encode()),
            ):
                info = member(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return read_image(archive)

    return pack


def test_the_same_is_the_same(packed: Any) -> None:
    first, second = packed(), packed()
    assert first.id == second.id
    assert differences(first, second) == []
    assert alike(first, second)


@pytest.mark.parametrize(
    ("path", "entry", "told"),
    [
        ("app/main.py", (b"print(1)", {}), "/app/main.py: content "),
        (
            "app/main.py",
            (b"print()", {"mtime": 1767225607}),
            "/app/main.py: modified 1767225600 and 1767225607",
        ),
        ("app/main.py", (b"print()", {"mode": 0o755}), "/app/main.py: mode 0o644 and 0o755"),
        ("app/main.py", (b"print()", {"uid": 7}), "/app/main.py: owner 0:0 and 7:0"),
        (
            "app/main.py",
            (b"print()", {"pax_headers": {"SCHILY.xattr.user.a": "1"}}),
            '/app/main.py: attributes  and {"SCHILY.xattr.user.a": "1"}',
        ),
        (
            "app/now",
            (b"", {"type": tarfile.SYMTYPE, "linkname": "else"}),
            "/app/now: content main.py and else",
        ),
        ("app/now", (b"", {"type": tarfile.DIRTYPE}), "/app/now: kind 2 and 5"),
        ("app/.wh.old", (b"", {}), "/app/.wh.old: only in the second"),
    ],
)
def test_a_file_that_differs_is_told(packed: Any, path: str, entry: Any, told: str) -> None:
    first, second = packed(), packed({**FILES, path: entry})
    lines = differences(first, second)
    assert any(line.startswith(f"layer 1: {told}") for line in lines), lines
    assert not alike(first, second)


def test_another_order_is_told(packed: Any) -> None:
    first, second = packed(), packed(dict(reversed(list(FILES.items()))))
    assert "layer 1: its files are in another order" in differences(first, second)
    assert not alike(first, second)


def test_a_file_that_is_missing_is_told(packed: Any) -> None:
    first, second = packed(), packed({name: FILES[name] for name in FILES if name != "app/now"})
    assert "layer 1: /app/now: only in the first" in differences(first, second)


def test_a_setting_that_differs_is_told(packed: Any) -> None:
    first, second = packed(), packed(User="0", Env=["A=2"])
    assert differences(first, second) == ["config.Env[0]: A=1 and A=2", "config.User: 1000 and 0"]
    assert not alike(first, second)


def test_a_builders_times_are_told_and_are_no_other_image(packed: Any) -> None:
    first, second = packed(), packed(created=LATER)
    assert first.id != second.id
    assert differences(first, second) == [
        f"created: {CREATED} and {LATER}",
        f"history[0].created: {CREATED} and {LATER}",
    ]
    assert alike(first, second)
