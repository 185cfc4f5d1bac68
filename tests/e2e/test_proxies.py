"""Server-sent events behind proxies as others run them: nginx that buffers and compresses, HAProxy that compresses."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import docker
import pytest

from tests.conftest import free_port, server
from tests.e2e.test_page_networks import port_of
from tests.gateway.stack import SECONDS
from tests.infra.test_plugin import base_image  # noqa: F401 - a fixture
from tests.infra.test_proxy import image  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import aiohttp
    from docker.models.containers import Container

    from tests.gateway.stack import Stack

    Proxied = Callable[[int], AbstractContextManager[str]]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SLOW = "count to 9 every 99000 ms"
"""A prompt whose first word comes at once, and the second long after this test has given up waiting."""

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  gzip on;
  gzip_min_length 0;
  gzip_proxied any;
  gzip_types *;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
      proxy_http_version 1.1;
      proxy_buffering on;
    }}
  }}
}}
"""

HAPROXY = """
global
    log stdout format raw local0
defaults
    mode http
    timeout connect 10s
    timeout client 10m
    timeout server 10m
frontend all
    bind 127.0.0.1:{port}
    compression algo gzip
    compression type text/html text/css text/event-stream
    default_backend gateway
backend gateway
    server gateway 127.0.0.1:{upstream}
"""


@contextmanager
def nginx(folder: Path, upstream: int) -> Iterator[str]:
    port, conf = free_port(), folder / "nginx.conf"
    conf.write_text(NGINX.format(folder=folder, port=port, upstream=upstream))
    folder.chmod(0o755)  # nginx's workers are another user
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert found, "scripts/setup nginx brings it"
    url = f"http://127.0.0.1:{port}"
    with server([found, "-p", str(folder), "-c", str(conf)], url, folder / "log"):
        yield url


@contextmanager
def haproxy(folder: Path, built: str, upstream: int) -> Iterator[str]:
    """The one of the stack's own image, with another configuration."""
    port, conf = free_port(), folder / "haproxy.cfg"
    conf.write_text(HAPROXY.format(port=port, upstream=upstream))
    engine = docker.from_env()
    container = engine.containers.run(
        built,
        ["haproxy", "-db", "-f", "/proxy.cfg"],
        detach=True,
        network_mode="host",
        volumes={str(conf): {"bind": "/proxy.cfg", "mode": "ro"}},
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_answered(url, container)
        yield url
    finally:
        container.remove(force=True, v=True)
        engine.close()


def wait_until_answered(url: str, container: Container) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{url}/api/version", timeout=SECONDS):
                return
        except OSError:
            container.reload()
            assert container.status == "running", container.logs().decode()
            assert time.monotonic() < deadline, container.logs().decode()
            time.sleep(0.1)


@pytest.fixture(params=["nginx", "haproxy"])
def proxied(request: pytest.FixtureRequest, tmp_path: Path) -> Proxied:
    """Starts a proxy in front of a port of this machine."""
    if request.param == "nginx":
        return lambda upstream: nginx(tmp_path, upstream)
    built: str = request.getfixturevalue("image")
    return lambda upstream: haproxy(tmp_path, built, upstream)


async def read_until(response: aiohttp.ClientResponse, kind: str) -> dict[str, Any]:
    """The next event of a type."""
    async for line in response.content:
        if line.startswith(b"data: {"):
            frame: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
            if frame["type"] == kind:
                return frame
    raise AssertionError(f"the stream ended without {kind}")


async def test_events_pass_a_proxy_that_compresses_as_they_are_sent(proxied: Proxied, stack: Stack) -> None:
    session = await stack.session()
    headers = {**stack.headers(), "Accept-Encoding": "gzip"}
    context = proxied(port_of(stack))
    url = await asyncio.to_thread(context.__enter__)
    try:
        # It does compress what it may.
        async with stack.http.get(f"{url}/", headers=headers) as page:
            assert page.headers["Content-Encoding"] == "gzip"
        body = {"sessionId": session, "prompt": SLOW}
        # Where events are held back, so is the answer's head.
        asking = stack.http.post(f"{url}/api/sdk/stream", json=body, headers=headers)
        async with asyncio.timeout(SECONDS), asking as response:
            assert (await read_until(response, "text-delta"))["text"] == "1 "
            assert (await stack.post("/api/sdk/stop", {"sessionId": session}))[0] == 200
            assert (await read_until(response, "process-exit"))["reason"] == "stopped"
            assert await response.content.read() == b"\ndata: [DONE]\n\n"
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)
