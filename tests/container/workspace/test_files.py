"""Files of the workspace, and nothing outside of it."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from tests.container.conftest import Sandbox
from tests.container.runs.test_framelog import no_file_grows_past


async def test_a_file_is_written_whole_and_read_back(sandbox: Sandbox, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    async with sandbox.http.put("/files/a/b/c.bin", data=io.BytesIO(content)) as response:
        assert response.status == 201
    async with sandbox.http.put("/files/a/b/c.bin", data=io.BytesIO(content)) as response:
        assert response.status == 204
    async with sandbox.http.get("/files/a/b/c.bin") as response:
        assert await response.read() == content
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert [path.name for path in (tmp_path / "workspace" / "a" / "b").iterdir()] == ["c.bin"]


@pytest.mark.parametrize(
    "path",
    [
        "..%2Fsecret",
        "a%2F..%2F..%2Fsecret",
        "link",
        "linkdir/secret",
        "%2Fetc%2Fpasswd",
        "",
        "x%00y",
        "loop",
        "a" * 300,
        "a" * 300 + "/b",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_no_path_leads_out(sandbox: Sandbox, tmp_path: Path, method: str, path: str) -> None:
    (tmp_path / "secret").write_text("secret")
    workspace = tmp_path / "workspace"
    (workspace / "link").symlink_to(tmp_path / "secret")
    (workspace / "linkdir").symlink_to(tmp_path)
    (workspace / "loop").symlink_to(workspace / "loop")
    url = sandbox.server.make_url("/").joinpath("files/" + path, encoded=True)
    async with sandbox.http.request(method, url, data=b"evil" if method == "PUT" else None) as response:
        assert response.status == 400
        assert (await response.json())["field"] == "path"
    assert (tmp_path / "secret").read_text() == "secret"


async def test_a_link_inside_is_followed(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "workspace" / "real").write_text("here")
    (tmp_path / "workspace" / "link").symlink_to("real")
    async with sandbox.http.get("/files/link") as response:
        assert await response.text() == "here"


async def test_what_is_no_file_is_an_error(sandbox: Sandbox, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    (workspace / "folder").mkdir()
    (workspace / "file").write_text("x")
    os.mkfifo(workspace / "fifo")
    for path, status in (("missing", 404), ("folder", 400), ("fifo", 400)):
        async with sandbox.http.get(f"/files/{path}") as response:
            assert response.status == status
    for path in ("folder", "file/below"):
        async with sandbox.http.put(f"/files/{path}", data=b"x") as response:
            assert response.status == 400


async def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    async with sandbox.http.put("/files/big", data=io.BytesIO(bytes(33 * 1024 * 1024))) as response:
        assert response.status == 413
        assert (await response.json())["code"] == "payload-too-large"
    assert list((tmp_path / "workspace").iterdir()) == []
    with (tmp_path / "workspace" / "sparse").open("wb") as file:
        file.truncate(40 * 1024 * 1024)
    async with sandbox.http.get("/files/sparse") as response:
        assert response.status == 413


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("path", ["x" * 256, "x" * 256 + "/y", "é" * 128])
async def test_a_name_that_is_too_long_is_refused(sandbox: Sandbox, method: str, path: str) -> None:
    async with sandbox.http.request(
        method, f"/files/{path}", data=b"x" if method == "PUT" else None
    ) as response:
        assert response.status == 400
        assert (await response.json())["field"] == "path"


async def test_a_disk_that_is_full_is_told_as_one(sandbox: Sandbox, tmp_path: Path) -> None:
    with no_file_grows_past(1000):
        async with sandbox.http.put("/files/a", data=bytes(100_000)) as response:
            assert (response.status, (await response.json())["code"]) == (507, "disk-full")
    assert list((tmp_path / "workspace").iterdir()) == []
