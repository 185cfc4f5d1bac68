"""Whatever the environment says of AWS and of proxies, an endpoint of one's own is asked as it is."""

from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING

import boto3
import pytest

from gateway.store.blobs.s3 import Bucket
from gateway.store.client import Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MISLEADING = (
    {"HTTP_PROXY": "http://127.0.0.1:9"},
    {"http_proxy": "http://127.0.0.1:9", "NO_PROXY": "localhost"},
    {"AWS_PROFILE": "nope"},
    {"AWS_CONFIG_FILE": "FOLDER"},
    {"AWS_SHARED_CREDENTIALS_FILE": "FOLDER", "AWS_PROFILE": "nope"},
    {"AWS_CONFIG_FILE": "BROKEN"},
    {"AWS_USE_FIPS_ENDPOINT": "true"},
)


@pytest.fixture
def endpoint() -> Iterator[str]:
    """A server that answers all requests with an empty object."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def _answer(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2" if self.command == "POST" else "0")
            self.end_headers()
            if self.command == "POST":
                self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=MISLEADING, ids=str)
def misled(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    broken = tmp_path / "broken"
    broken.write_text("[profile\n= nothing")
    for name, value in request.param.items():
        monkeypatch.setenv(name, {"FOLDER": str(tmp_path), "BROKEN": str(broken)}.get(value, value))


async def test_a_table_of_one_s_own(misled: None, endpoint: str) -> None:
    table = Table("t", endpoint=endpoint, region="us-east-1", seconds=1)
    await table.connect()
    try:
        assert await table.get(("a", "b")) is None
    finally:
        table.close()


async def test_a_bucket_of_one_s_own(misled: None, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    bucket = Bucket("b", endpoint=endpoint, region="us-east-1")
    try:
        assert await bucket.call("head_bucket")
    finally:
        bucket.close()


async def test_at_aws_the_environment_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text("[profile ours]\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "ours")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    table = Table("t")
    await table.connect()
    try:
        assert table._client.meta.region_name == "eu-west-3"
    finally:
        table.close()
