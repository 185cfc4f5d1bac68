"""The agent server's routes of the workspace's files: what they do, and what they refuse."""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import io
import os
import socket
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from yarl import URL

from container.files import tree, zips
from container.web.app_keys import CONNECTIONS
from tests.container.conftest import Sandbox
from tests.container.runs.test_framelog import no_file_grows_past

PIECE = 8 * 1024 * 1024


def there(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Files:
    """Asks about files of one sandbox."""

    def __init__(self, sandbox: Sandbox, root: Path) -> None:
        self.sandbox, self.root = sandbox, root

    async def ask(
        self,
        method: str,
        route: str,
        path: bytes | str | None = None,
        *,
        raw: str | None = None,
        **options: Any,
    ) -> tuple[int, Any, Mapping[str, str]]:
        """(status, JSON or bytes, headers); `raw`: the path as it is sent."""
        fields = [f"{name}={value}" for name, value in options.pop("query", {}).items()]
        if path is not None:
            path = os.fsencode(path)
            raw = "/".join(quote_from_bytes(part, safe="") for part in path.split(b"/"))
        if raw is not None:
            fields.append(f"path={raw}")
        base = self.sandbox.server.make_url("/")
        url = URL(f"{base}{route.lstrip('/')}?{'&'.join(fields)}", encoded=True)
        async with self.sandbox.http.request(method, url, **options) as response:
            body: Any = await response.read()
            if response.content_type == "application/json":
                body = await response.json()
            return response.status, body, response.headers

    async def names(self, path: bytes | str = "", **query: Any) -> list[str]:
        status, body, _ = await self.ask("GET", "tree", path, query=query)
        assert status == 200, body
        return [entry["name"] for entry in body["entries"]]


@pytest.fixture
def files(sandbox: Sandbox, tmp_path: Path) -> Files:
    return Files(sandbox, tmp_path / "workspace")


class TestTree:
    async def test_a_folder_is_listed_folders_first_with_what_its_entries_are(self, files: Files) -> None:
        root = files.root
        (root / "b").mkdir()
        (root / "a.txt").write_text("x" * 7)
        (root / "link").symlink_to("/etc/passwd")
        os.mkfifo(root / "pipe")
        status, body, _ = await files.ask("GET", "tree", "")
        assert status == 200
        assert [(entry["name"], entry["type"]) for entry in body["entries"]] == [
            ("b", "folder"),
            ("a.txt", "file"),
            ("link", "link"),
            ("pipe", "special"),
        ]
        assert body["entries"][1]["size"] == 7
        assert body["entries"][2]["target"] == "/etc/passwd"

    async def test_names_of_any_bytes_come_and_go_as_they_are(self, files: Files) -> None:
        odd = [
            b"new\nline",
            b"\xff\xfe",
            "é漢🙂".encode(),
            b"a b%20c",
            b"-rf",
            b"q\"'<script>",
            b"\xed\xa0\x80",
        ]
        odd.append(b"x" * 255)
        for name in odd:
            status, body, _ = await files.ask("PUT", "file", b"in/" + name, data=name)
            assert status == 201, body
        assert sorted(map(os.fsencode, there(files.root / "in"))) == sorted(odd)
        _, body, _ = await files.ask("GET", "tree", "in")
        for entry in body["entries"]:
            status, content, _ = await files.ask("GET", "file", raw=entry["path"])
            assert (status, content in odd) == (200, True)

    async def test_a_hundred_thousand_entries_come_in_pages(self, files: Files) -> None:
        folder = files.root / "many"
        folder.mkdir()
        for number in range(100_000):
            os.mknod(folder / f"{number:06}")
        _, first, _ = await files.ask("GET", "tree", "many")
        assert [entry["name"] for entry in first["entries"]] == [f"{number:06}" for number in range(1000)]
        assert (first["total"], first["more"]) == (100_000, False)
        _, second, _ = await files.ask("GET", "tree", "many", query={"cursor": first["cursor"], "limit": "2"})
        assert [entry["name"] for entry in second["entries"]] == ["001000", "001001"]
        _, last, _ = await files.ask("GET", "tree", "many", query={"cursor": "1099998"})
        assert ([entry["name"] for entry in last["entries"]], last["cursor"]) == (["099999"], None)

    async def test_more_names_than_are_looked_at_are_told(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tree, "MOST_NAMES", 3)
        for number in range(5):
            (files.root / str(number)).touch()
        _, body, _ = await files.ask("GET", "tree", "")
        assert (len(body["entries"]), body["total"], body["more"]) == (3, 3, True)

    async def test_what_git_ignores_is_left_out_unless_asked(self, files: Files) -> None:
        git = await asyncio.create_subprocess_exec("git", "init", "-q", files.root)
        assert await git.wait() == 0
        (files.root / ".gitignore").write_text("build/\n*.log\n")
        (files.root / "build").mkdir()
        (files.root / "a.log").touch()
        (files.root / "a.py").touch()
        assert await files.names() == [".gitignore", "a.py"]
        _, body, _ = await files.ask("GET", "tree", "", query={"all": "1"})
        ignored = {entry["name"]: entry.get("ignored", False) for entry in body["entries"]}
        assert ignored == {".git": True, "build": True, ".gitignore": False, "a.log": True, "a.py": False}

    async def test_folders_are_made_and_things_are_renamed_and_deleted(self, files: Files) -> None:
        status, body, _ = await files.ask("POST", "tree", json={"folder": "a/b%20c"})
        assert (status, body["path"]) == (201, "a/b%20c")
        assert (await files.ask("POST", "tree", json={"folder": "a/b%20c"}))[0] == 409
        (files.root / "a" / "b c" / "x").write_text("x")
        status, body, _ = await files.ask("POST", "tree", json={"move": "a/b%20c/x", "to": "a/X"})
        assert (status, (files.root / "a" / "X").read_text()) == (200, "x")
        status, _, _ = await files.ask("POST", "tree", json={"move": "a/X", "to": "a/x"})  # the case alone
        assert (status, there(files.root / "a")) == (200, ["b c", "x"])
        (files.root / "y").write_text("y")
        assert (await files.ask("POST", "tree", json={"move": "y", "to": "a/x"}))[0] == 409
        assert (files.root / "a" / "x").read_text() == "x"
        assert (await files.ask("POST", "tree", json={"move": "a", "to": "a/b%20c/in-itself"}))[0] == 400
        assert (await files.ask("DELETE", "file", "a"))[0] == 409
        assert (await files.ask("DELETE", "file", "a", query={"recursive": "1"}))[0] == 204
        assert (await files.ask("DELETE", "file", "a"))[0] == 404
        assert await files.names() == ["y"]

    async def test_deleting_goes_through_no_link(self, files: Files, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "kept").touch()
        (files.root / "full").mkdir()
        (files.root / "full" / "link").symlink_to(outside)
        (files.root / "link").symlink_to(outside)
        assert (await files.ask("DELETE", "file", "link", query={"recursive": "1"}))[0] == 204
        assert (await files.ask("DELETE", "file", "full", query={"recursive": "1"}))[0] == 204
        assert (outside / "kept").exists()
        assert await files.names() == []


class TestContent:
    async def test_a_file_is_read_whole_in_part_and_not_at_all(self, files: Files) -> None:
        content = os.urandom(700_000)
        (files.root / "x").write_bytes(content)
        status, body, headers = await files.ask("GET", "file", "x")
        assert (status, body) == (200, content)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Disposition"] == "attachment"
        tag = headers["ETag"]
        ranges = {
            "bytes=10-19": slice(10, 20),
            "bytes=699990-": slice(699990, None),
            "bytes=-5": slice(-5, None),
        }
        for asked, at in ranges.items():
            status, body, headers = await files.ask("GET", "file", "x", headers={"Range": asked})
            assert (status, body) == (206, content[at]), asked
            assert headers["Content-Range"].endswith("/700000")
        status, _, headers = await files.ask("GET", "file", "x", headers={"Range": "bytes=700000-"})
        assert (status, headers["Content-Range"]) == (416, "bytes */700000")
        both = {"Range": "bytes=0-1", "If-Range": '"other"'}
        assert (await files.ask("GET", "file", "x", headers=both))[1] == content
        assert (await files.ask("GET", "file", "x", headers={**both, "If-Range": tag}))[1] == content[:2]
        status, body, headers = await files.ask("HEAD", "file", "x")
        assert (status, body, headers["Content-Length"], headers["ETag"]) == (200, b"", "700000", tag)

    async def test_a_save_over_another_version_is_refused_with_it_and_loses_neither(
        self, files: Files
    ) -> None:
        status, body, _ = await files.ask("PUT", "file", "a/x", data=b"one", headers={"If-None-Match": "*"})
        assert status == 201
        first = body["etag"]
        (files.root / "a" / "x").chmod(0o755)
        status, body, _ = await files.ask("PUT", "file", "a/x", data=b"two", headers={"If-Match": first})
        assert status == 200
        second = body["etag"]
        status, body, _ = await files.ask("PUT", "file", "a/x", data=b"mine", headers={"If-Match": first})
        assert (status, body["code"], body["etag"]) == (412, "changed", second)
        status, body, _ = await files.ask("PUT", "file", "a/x", data=b"new", headers={"If-None-Match": "*"})
        assert (status, body["etag"]) == (412, second)
        assert (files.root / "a" / "x").read_bytes() == b"two"
        assert (files.root / "a" / "x").stat().st_mode & 0o777 == 0o755
        (files.root / "a" / "x").unlink()
        status, body, _ = await files.ask("PUT", "file", "a/x", data=b"mine", headers={"If-Match": second})
        assert (status, body["etag"]) == (412, None)
        assert there(files.root / "a") == []

    async def test_a_touch_alone_is_no_other_version_and_a_write_of_the_same_length_is(
        self, files: Files
    ) -> None:
        (files.root / "x").write_text("same")
        _, _, headers = await files.ask("HEAD", "file", "x")
        os.utime(files.root / "x", (1, 1))
        assert (await files.ask("HEAD", "file", "x"))[2]["ETag"] == headers["ETag"]
        (files.root / "x").write_text("SAME")
        os.utime(files.root / "x", (1, 1))
        assert (await files.ask("HEAD", "file", "x"))[2]["ETag"] != headers["ETag"]

    async def test_a_sparse_gigabyte_is_read_in_part(self, files: Files) -> None:
        with (files.root / "sparse").open("wb") as file:
            file.truncate(1 << 30)
            file.seek((1 << 30) - 3)
            file.write(b"end")
        status, body, headers = await files.ask("GET", "file", "sparse", headers={"Range": "bytes=-5"})
        assert (status, body) == (206, b"\0\0end")
        assert headers["Content-Range"] == "bytes 1073741819-1073741823/1073741824"

    async def test_of_a_file_that_grows_comes_what_it_had(self, files: Files) -> None:
        (files.root / "log").write_bytes(bytes(4_000_000))
        base = files.sandbox.server.make_url("/file").with_query(path="log")
        async with files.sandbox.http.get(base) as response:
            with (files.root / "log").open("ab") as log:
                log.write(b"more")
            assert len(await response.read()) == 4_000_000

    async def test_a_file_that_shrinks_breaks_off(self, files: Files) -> None:
        (files.root / "log").write_bytes(bytes(64_000_000))
        base = files.sandbox.server.make_url("/file").with_query(path="log")
        async with files.sandbox.http.get(base) as response:
            (files.root / "log").write_bytes(b"")
            with pytest.raises(Exception, match=r"(?i)payload|disconnected|closed"):
                await response.read()

    async def test_a_body_that_is_too_large_or_a_full_disk_leaves_nothing(self, files: Files) -> None:
        status, body, _ = await files.ask("PUT", "file", "big", data=io.BytesIO(bytes(PIECE + 1)))
        assert (status, body["code"]) == (413, "payload-too-large")
        with no_file_grows_past(1000):
            status, body, _ = await files.ask("PUT", "file", "full", data=bytes(100_000))
        assert (status, body["code"]) == (507, "disk-full")
        assert there(files.root) == []


class TestUpload:
    async def test_what_was_cut_goes_on_where_it_was_and_arrives_whole(self, files: Files) -> None:
        content = os.urandom(3_000_000)
        _, body, _ = await files.ask("POST", "upload", "in/new.bin")
        upload = body["upload"]
        offset = 0
        for cut in (1_000_000, 2_500_000):
            sent = asyncio.Event()

            async def some(end: int = cut, begin: int = offset, sent: asyncio.Event = sent) -> Any:
                yield content[begin:end]
                await sent.wait()

            query = {"upload": upload, "offset": offset}
            going = asyncio.create_task(files.ask("PATCH", "upload", "in/new.bin", data=some(), query=query))
            while (await files.ask("GET", "upload", "in/new.bin", query={"upload": upload}))[1][
                "offset"
            ] < cut:
                await asyncio.sleep(0.01)
            going.cancel()
            await asyncio.gather(going, return_exceptions=True)
            offset = cut
        wrong = {"upload": upload, "offset": 7}
        assert (await files.ask("PATCH", "upload", "in/new.bin", data=b"x", query=wrong))[0] == 409
        rest = {"upload": upload, "offset": offset}
        for _ in range(500):  # the last one may be at it until its end is noticed
            status, body, _ = await files.ask(
                "PATCH", "upload", "in/new.bin", data=content[offset:], query=rest
            )
            if status != 409:
                break
            await asyncio.sleep(0.02)
        assert (status, body["offset"]) == (200, len(content))
        assert await files.names("in") == []
        done = {"upload": upload, "size": len(content)}
        assert (await files.ask("PUT", "upload", "in/new.bin", query={**done, "size": 5}))[0] == 409
        assert (await files.ask("PUT", "upload", "in/new.bin", query={**done, "sha256": "0" * 64}))[0] == 400
        good = {**done, "sha256": hashlib.sha256(content).hexdigest()}
        status, body, _ = await files.ask(
            "PUT", "upload", "in/new.bin", query=good, headers={"If-None-Match": "*"}
        )
        assert (status, body["size"]) == (201, len(content))
        assert (files.root / "in" / "new.bin").read_bytes() == content
        assert there(files.root / "in") == ["new.bin"]
        assert (await files.ask("PUT", "upload", "in/new.bin", query=good))[0] == 404

    async def test_a_piece_with_a_sum_is_taken_whole_or_not_at_all(self, files: Files) -> None:
        _, body, _ = await files.ask("POST", "upload", "x")
        query = {"upload": body["upload"], "offset": 0, "sha256": hashlib.sha256(b"right").hexdigest()}
        status, body, _ = await files.ask("PATCH", "upload", "x", data=b"wrong", query=query)
        assert (status, body["field"]) == (400, "sha256")
        status, body, _ = await files.ask("PATCH", "upload", "x", data=b"right", query=query)
        assert (status, body["offset"]) == (200, 5)

    async def test_an_upload_over_a_file_is_held_to_its_version(self, files: Files) -> None:
        (files.root / "x").write_text("theirs")
        _, body, _ = await files.ask("POST", "upload", "x")
        upload = body["upload"]
        await files.ask("PATCH", "upload", "x", data=b"mine", query={"upload": upload, "offset": 0})
        done = {"upload": upload, "size": 4}
        status, body, _ = await files.ask("PUT", "upload", "x", query=done, headers={"If-None-Match": "*"})
        assert (status, (files.root / "x").read_text()) == (412, "theirs")
        status, _, _ = await files.ask("PUT", "upload", "x", query=done, headers={"If-Match": body["etag"]})
        assert (status, (files.root / "x").read_text()) == (200, "mine")

    async def test_what_is_given_up_goes(self, files: Files) -> None:
        _, body, _ = await files.ask("POST", "upload", "x")
        assert (await files.ask("DELETE", "upload", "x", query={"upload": body["upload"]}))[0] == 204
        assert (await files.ask("DELETE", "upload", "x", query={"upload": body["upload"]}))[0] == 204
        _, body, _ = await files.ask("POST", "upload", "x")
        (left,) = files.root.iterdir()
        os.utime(left, (1, 1))
        await files.ask("POST", "upload", "y")
        assert left not in files.root.iterdir()
        for bad in ("../x", "", "A" * 32):
            assert (await files.ask("GET", "upload", "x", query={"upload": bad}))[0] == 400


class TestZip:
    async def test_a_folder_comes_as_an_archive_that_leads_nowhere_else(
        self, files: Files, tmp_path: Path
    ) -> None:
        root = files.root / "a"
        (root / "empty").mkdir(parents=True)
        (root / "deep" / "er").mkdir(parents=True)
        (root / "deep" / "er" / "x").write_text("deep")
        (root / "..\\..\\evil").write_text("slip")
        (root / "C:evil").write_text("drive")
        (root / "new\nline").write_text("line")
        Path(os.fsdecode(os.fsencode(root) + b"/\xff")).write_text("bytes")
        (root / "link").symlink_to("/etc/passwd")
        os.mkfifo(root / "pipe")
        status, body, headers = await files.ask("GET", "zip", "a")
        assert (status, headers["Content-Type"]) == (200, "application/zip")
        archive = zipfile.ZipFile(io.BytesIO(body))
        assert archive.testzip() is None
        names = archive.namelist()
        assert {"empty/", "deep/", "deep/er/", "deep/er/x", zips.LEFT_OUT} < set(names)
        assert archive.read("deep/er/x") == b"deep"
        assert len(names) == len(set(names)) == 9
        for name in names:
            assert not any(char in name for char in "\\:\n\r\0")
            assert ".." not in name.split("/")
        assert archive.read(zips.LEFT_OUT).decode().splitlines() == ["link: a link", "pipe: a special"]
        archive.extractall(tmp_path / "out")
        assert not (tmp_path / "evil").exists()

    async def test_five_thousand_files_take_no_more_memory_than_a_few(self, files: Files) -> None:
        for number in range(5000):
            (files.root / f"{number}.bin").write_bytes(os.urandom(8_000))
        tracemalloc.start()
        pieces = zips.chunks(files.root, (), limit=1 << 40)
        size = sum(len(piece) for piece in pieces)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert size > 40_000_000
        assert peak < 12_000_000  # its table of contents is the most of it

    @pytest.mark.parametrize(("at", "year"), [(-86400, 1980), (4354905600, 2107), (1 << 33, 2107)])
    async def test_files_of_any_time_are_in_it(self, files: Files, at: int, year: int) -> None:
        (files.root / "a").write_text("of another time")
        os.utime(files.root / "a", (at, at))
        status, body, _ = await files.ask("GET", "zip", "")
        assert status == 200
        assert zipfile.ZipFile(io.BytesIO(body)).infolist()[0].date_time[0] == year

    async def test_too_much_is_refused_before_anything_comes(self, files: Files) -> None:
        (files.root / "big").write_bytes(bytes(100))
        status, body, _ = await files.ask("GET", "zip", "", query={"limit": "99"})
        assert (status, body["code"]) == (413, "payload-too-large")


class TestSearch:
    async def test_lines_are_found_by_what_is_in_them(self, files: Files) -> None:
        (files.root / "src").mkdir()
        (files.root / "src" / "a.py").write_text("one\n  Needle = 1\nneedle\n")
        (files.root / "binary").write_bytes(b"\0needle\n")
        Path(os.fsdecode(os.fsencode(files.root) + b"/\xff")).write_text("x needle\n")
        status, body, _ = await files.ask("GET", "search", "", query={"q": "needle"})
        found = {(match["path"], match["line"], match["column"]) for match in body["matches"]}
        assert (status, found) == (200, {("src/a.py", 2, 3), ("src/a.py", 3, 1), ("%FF", 1, 3)})
        _, body, _ = await files.ask("GET", "search", "src", query={"q": "^nee", "regex": "1", "case": "1"})
        assert [(match["path"], match["line"]) for match in body["matches"]] == [("src/a.py", 3)]
        _, body, _ = await files.ask("GET", "search", "", query={"q": "A.P", "kind": "name"})
        assert [match["path"] for match in body["matches"]] == ["src/a.py"]

    async def test_matches_are_bounded(self, files: Files) -> None:
        for number in range(20):
            (files.root / str(number)).write_text("x\n" * 100)
        _, body, _ = await files.ask("GET", "search", "", query={"q": "x"})
        assert (len(body["matches"]), body["truncated"]) == (500, True)

    @pytest.mark.parametrize("q", ["", "a%0Ab", "a%00b", "x" * 1001])
    async def test_a_bad_query_is_refused(self, files: Files, q: str) -> None:
        status, body, _ = await files.ask("GET", "search", "", query={"q": q})
        assert (status, body["field"]) == (400, "q")

    async def test_a_query_is_no_option(self, files: Files) -> None:
        (files.root / "a").write_text("--version -rf\n")
        _, body, _ = await files.ask("GET", "search", "", query={"q": "--version"})
        assert len(body["matches"]) == 1


TRIES = {
    "up": "..",
    "up-encoded": "%2e%2e",
    "up-amid": "in/..%2F..%2Fsecret",
    "up-behind": "in/../../secret",
    "root": "%2Fetc%2Fpasswd",
    "empty-name": "in//x",
    "dot": "in/./x",
    "nul": "x%00y",
    "too-long": "a" * 256,
    "path-too-long": "/".join(["abcdefgh"] * 900),
    "link-to-file": "link",
    "link-to-folder": "linked/secret",
    "link-to-itself": "loop/x",
    "magic-link": "proc/self/environ",
    "pipe": "pipe",
    "socket": "socket",
    "device": "device",
    "folder": "in",
    "workspace": "",
    "through-a-file": "file/x",
}
"""Paths by what they try; none of them leads to a file."""

ACTS: dict[str, Callable[[Files, str], Any]] = {
    "read": lambda files, raw: files.ask("GET", "file", raw=raw),
    "write": lambda files, raw: files.ask("PUT", "file", raw=raw, data=b"evil"),
    "upload": lambda files, raw: files.ask("POST", "upload", raw=raw),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("attempt", TRIES)
async def test_no_path_leads_out_or_to_what_is_no_file(
    files: Files, tmp_path: Path, attempt: str, act: str
) -> None:
    root = files.root
    (tmp_path / "secret").write_text("secret")
    (root / "in").mkdir()
    (root / "file").write_text("file")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "linked").symlink_to(tmp_path)
    (root / "loop").symlink_to("loop")
    (root / "proc").symlink_to("/proc")
    (root / "device").symlink_to("/dev/zero")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
        status, body, _ = await ACTS[act](files, TRIES[attempt])
    may_begin = act == "upload" and attempt in ("link-to-file", "pipe", "socket", "device", "folder")
    if may_begin:  # it may begin there; it is when it is finished that the file is replaced
        assert status == 201
        query = {"upload": body["upload"], "size": 0}
        status, body, _ = await files.ask("PUT", "upload", raw=TRIES[attempt], query=query)
    assert status in (400, 404), body
    assert (tmp_path / "secret").read_text() == "secret"
    assert (root / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name == "x") == []


async def test_a_link_that_comes_and_goes_amid_reads_and_writes_leads_nowhere(
    files: Files, tmp_path: Path
) -> None:
    """The agent swaps a folder for a link to outside, again and again, while the folder's file is read and written."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("secret")
    (files.root / "real").mkdir()
    (files.root / "real" / "x").write_text("mine")
    stop = asyncio.Event()

    link = files.root / "link"
    link.symlink_to(outside)
    exchange = ctypes.CDLL(None).renameat2

    def swap() -> None:
        here, both = -100, (os.fsencode(files.root / "real"), os.fsencode(link))  # AT_FDCWD, RENAME_EXCHANGE
        while not stop.is_set():
            assert exchange(here, both[0], here, both[1], 2) == 0

    swapping = asyncio.create_task(asyncio.to_thread(swap))
    seen = set()
    for number in range(150):
        status, body, _ = await files.ask("GET", "file", "real/x")
        seen.add(status)
        assert status != 200 or body in (b"mine", b"new"), body
        if number % 3 == 0:
            await files.ask("PUT", "file", "real/x", data=b"new")
    stop.set()
    await swapping
    assert (outside / "x").read_text() == "secret"
    assert there(outside) == ["x"]
    assert 200 in seen


async def test_who_reads_a_file_keeps_the_sandbox(files: Files) -> None:
    (files.root / "x").write_bytes(bytes(64_000_000))
    url = files.sandbox.server.make_url("/file").with_query(path="x")
    async with files.sandbox.http.get(url) as response:
        assert files.sandbox.app[CONNECTIONS].is_busy
        async with files.sandbox.http.post("/retire?idle=0") as retired:
            assert retired.status == 409
        await response.read()
    while files.sandbox.app[CONNECTIONS].is_busy:
        await asyncio.sleep(0.01)
    async with files.sandbox.http.post("/retire?idle=0") as retired:
        assert retired.status == 200
