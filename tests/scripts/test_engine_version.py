"""The question for an engine's API version, put to a real server on a Unix socket."""

import socketserver
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/lib/engine_version.py"


class Engine(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # the base class asks for this name
        found = self.path == "/version"
        body = b'{"Version": "20.10.24", "ApiVersion": "1.41"}' if found else b""
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        """Keep quiet."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "docker.sock"
    with socketserver.ThreadingUnixStreamServer(str(path), Engine) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield path
        server.shutdown()
        thread.join()


def ask(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, path], capture_output=True, text=True, timeout=50, check=False
    )


def test_it_prints_the_api_version(engine: Path) -> None:
    assert ask(engine).stdout == "1.41\n"


def test_it_fails_with_the_reason_when_nothing_listens(tmp_path: Path) -> None:
    result = ask(tmp_path / "none.sock")
    assert result.returncode == 1
    assert "none.sock" in result.stderr
