"""`scripts/advisories`: what it asks of a database, what it prints, and how it ends."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts.lib import advisories
from scripts.lib.sbom import ROOT

DEBIAN = "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12&upstream=glibc%402.36-9"
PACKAGES = {
    "vaporforge-dev/gateway": [DEBIAN, "pkg:pypi/aiohttp@3.14.5"],
    "vaporforge-page": ["pkg:npm/marked@15.0.0"],
}


class Database(BaseHTTPRequestHandler):
    """Answers as the server's `told` says: advisories by the queries' JSON; `told` may be what is sent as it is."""

    def do_POST(self) -> None:
        told: Any = self.server.told  # type: ignore[attr-defined]
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        self.server.asked.append((self.path, asked))  # type: ignore[attr-defined]
        if not isinstance(told, bytes):
            told = json.dumps({"results": [told.get(json.dumps(query), {}) for query in asked]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        """Nothing is said."""


class Server(ThreadingHTTPServer):
    """`told`: what it answers; `asked`: path and queries of each request."""

    told: Any
    asked: list[tuple[str, list[Any]]]


@pytest.fixture
def database() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Database) as server:
        server.told, server.asked = {}, []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asked(tmp_path: Path, source: str, *more: str) -> subprocess.CompletedProcess[str]:
    bill = tmp_path / "bill.json"
    parts = [
        {"name": name, "components": [{"purl": purl} for purl in purls]} for name, purls in PACKAGES.items()
    ]
    bill.write_text(json.dumps({"components": parts}))
    argv = [sys.executable, "-m", "scripts.lib.advisories", "--bill", str(bill), "--source", source, *more]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)


def at(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}/"


def test_each_package_is_asked_for_as_the_database_knows_it(database: Server, tmp_path: Path) -> None:
    done = asked(tmp_path, at(database))
    assert (done.returncode, done.stdout) == (0, "")
    assert "3 packages, 0 advisories" in done.stderr
    assert database.asked == [
        (
            "/v1/querybatch",
            [
                {"package": {"name": "glibc", "ecosystem": "Debian:12"}, "version": "2.36-9"},
                {"package": {"purl": "pkg:pypi/aiohttp@3.14.5"}},
                {"package": {"purl": "pkg:npm/marked@15.0.0"}},
            ],
        )
    ]


def test_what_is_found_is_printed_and_what_was_judged_is_not(database: Server, tmp_path: Path) -> None:
    query = {"package": {"purl": "pkg:pypi/aiohttp@3.14.5"}}
    database.told = {
        json.dumps(query): {"vulns": [{"id": "GHSA-1"}, {"id": "GHSA-2"}], "next_page_token": "more"},
        json.dumps({**query, "page_token": "more"}): {"vulns": [{"id": "GHSA-3"}]},
    }
    done = asked(tmp_path, at(database), "--ignore", "GHSA-2")
    assert done.returncode == 1
    assert done.stdout == "".join(
        f"{name}\taiohttp\t3.14.5\tvaporforge-dev/gateway\n" for name in ("GHSA-1", "GHSA-3")
    )
    assert asked(tmp_path, at(database), *(f"--ignore=GHSA-{number}" for number in (1, 2, 3))).returncode == 0


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"results": [{}]}'])
def test_an_answer_that_is_none_is_not_taken_for_no_advisories(
    database: Server, tmp_path: Path, answer: bytes
) -> None:
    database.told = answer
    done = asked(tmp_path, at(database))
    assert (done.returncode, done.stdout) == (advisories.NOT_ASKED, "")
    assert "could not be asked" in done.stderr


def test_a_database_out_of_reach_is_told(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        done = asked(tmp_path, f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert (done.returncode, done.stdout) == (advisories.NOT_ASKED, "")
    assert "whether there are advisories is not known" in done.stderr


def test_a_source_that_is_no_url_is_refused(tmp_path: Path) -> None:
    done = asked(tmp_path, "file:///etc")
    assert done.returncode == 2
    assert "must be an http:// or https:// URL" in done.stderr
