"""A registry of images for tests, on loopback, where an engine asks by plain HTTP; it has what a test puts into it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


class Registry(ThreadingHTTPServer):
    """`at`: `host:port`, with which names of its images begin."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.at = f"localhost:{self.server_port}"
        self.kept: dict[str, tuple[str, bytes]] = {}

    def put(self, name: str, tag: str, files: Mapping[str, bytes]) -> str:
        """An image of one layer with these files, under a tag that may have been another's: its digest."""
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            for path, content in files.items():
                entry = tarfile.TarInfo(path)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        layer = self._keep(name, gzip.compress(tar.getvalue(), mtime=0), LAYER)
        config = self._keep(
            name,
            json.dumps(
                {
                    "architecture": "amd64",
                    "os": "linux",
                    "config": {"Labels": {"of": "a test"}},
                    "rootfs": {"type": "layers", "diff_ids": [_digest(tar.getvalue())]},
                }
            ).encode(),
            CONFIG,
        )
        told = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
        body = json.dumps(told).encode()
        for reference in (tag, _digest(body)):
            self.kept[f"/v2/{name}/manifests/{reference}"] = (MANIFEST, body)
        return _digest(body)

    def _keep(self, name: str, content: bytes, kind: str) -> dict[str, object]:
        self.kept[f"/v2/{name}/blobs/{_digest(content)}"] = ("application/octet-stream", content)
        return {"mediaType": kind, "size": len(content), "digest": _digest(content)}


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        kind, body = self.server.kept.get(self.path, ("", b""))
        if self.path == "/v2/":
            kind = "application/json"
        self.send_response(200 if kind else 404)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if kind:
            self.send_header("Content-Type", kind)
            self.send_header("Docker-Content-Digest", _digest(body))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Nothing is said."""


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@contextmanager
def registry() -> Iterator[Registry]:
    """One that answers until the end of the block."""
    with Registry() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()
