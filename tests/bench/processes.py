"""Starts what a measurement needs and ends it by its id: DynamoDB Local, gateways, the fake model API, nginx."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from gateway.config import read_settings
from gateway.sandboxes.drivers.process import ProcessDriver
from gateway.web.request.auth import mint
from tests.conftest import free_port

ROOT = Path(__file__).resolve().parents[2]
SECRET = "bench-secret-that-guards-nothing-at-all-0123456789"
READY_SECONDS = 120.0
STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Local:
    """A gateway of this machine. `pid`: its process; `root`: the folder of its sandboxes."""

    url: str
    token: str
    pid: int
    root: Path
    environ: Mapping[str, str]


@contextlib.asynccontextmanager
async def process(
    argv: Sequence[str | Path], log: Path, environ: Mapping[str, str] | None = None
) -> AsyncIterator[int]:
    """A process, its pid, until the block is left: then TERM, and KILL when it does not heed that."""
    with log.open("wb") as output:
        started = await asyncio.create_subprocess_exec(
            *argv, cwd=ROOT, env=environ, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield started.pid
    finally:
        if started.returncode is None:
            started.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(started.wait(), STOP_SECONDS)
            except TimeoutError:
                started.kill()
                await started.wait()


async def wait_open(port: int, log: Path) -> None:
    """Until something listens on a port of this machine. Raises `RuntimeError` with the log's end."""
    pause = 0.02
    try:
        async with asyncio.timeout(READY_SECONDS):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                await asyncio.sleep(pause)
                pause = min(0.5, pause * 1.5)
    except TimeoutError:
        raise RuntimeError(f"port {port} did not open: {log.read_text()[-2000:]}") from None


@contextlib.asynccontextmanager
async def dynamodb(folder: Path) -> AsyncIterator[str]:
    """DynamoDB Local in memory: its endpoint."""
    port, log = free_port(), folder / "dynamodb.log"
    async with process([ROOT / "scripts" / "dynamodb", "--port", str(port)], log):
        await wait_open(port, log)
        yield f"http://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def fake_model(folder: Path) -> AsyncIterator[str]:
    """The fake of the Messages API: its URL."""
    port, log = free_port(), folder / "model.log"
    async with process([sys.executable, "-m", "tests.fake_model_api", "--port", str(port)], log):
        await wait_open(port, log)
        yield f"http://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def gateway(
    folder: Path, endpoint: str, *, argv: Sequence[str] = ("-m", "gateway"), **changes: str
) -> AsyncIterator[Local]:
    """A gateway with the process driver and a table of its own. `changes`: settings, by their names without `VF_`.

    Its sandboxes are stopped and deleted at the end.
    """
    folder.mkdir()
    port, log = free_port(), folder / "gateway.log"
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "VF_STACK": "bench",
        "VF_JWT_SECRET": SECRET,
        "VF_SANDBOX_SECRET": SECRET,
        "VF_CREDENTIAL_KEY": SECRET,
        "VF_HOST": "127.0.0.1",
        "VF_PORT": str(port),
        "VF_BROKER_PORT": str(free_port()),
        "VF_DRIVER": "process",
        "VF_PROCESS_ROOT": str(folder / "sandboxes"),
        "VF_TABLE": f"bench-{folder.name}",
        # One user at one address opens all that is measured.
        "VF_CONNECTIONS": "10000",
        "VF_ADDRESS_CONNECTIONS": "10000",
        "VF_USER_CONNECTIONS": "10000",
        "VF_TABLE_CREATE": "true",
        "VF_DYNAMODB_ENDPOINT": endpoint,
        **{f"VF_{name.upper()}": value for name, value in changes.items()},
    }
    driver = ProcessDriver(read_settings(environ), folder / "sandboxes")
    try:
        async with process([sys.executable, *argv], log, environ) as pid:
            await wait_open(port, log)
            await _ready(f"http://127.0.0.1:{port}/api/ready", log)
            token = mint("bench", 3600, secret=SECRET)
            yield Local(f"http://127.0.0.1:{port}", token, pid, folder / "sandboxes", environ)
    finally:
        for sandbox in await driver.list():
            await driver.delete(sandbox.session)
        await driver.close()


async def _ready(url: str, log: Path) -> None:
    pause = 0.02
    async with aiohttp.ClientSession() as http:
        for _ in range(100):
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(url) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(pause)
            pause = min(0.5, pause * 1.5)
    raise RuntimeError(f"{url} did not become ready: {log.read_text()[-2000:]}")


NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    tcp_nodelay on;
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_read_timeout 600s;
    }}
  }}
}}
"""


@contextlib.asynccontextmanager
async def nginx(folder: Path, upstream: int) -> AsyncIterator[tuple[int, int]]:
    """nginx, which is a byte tunnel once a connection is upgraded: (its port, its process)."""
    folder.mkdir()
    port, log, conf = free_port(), folder / "out.log", folder / "nginx.conf"
    conf.write_text(NGINX.format(folder=folder, port=port, upstream=upstream))
    async with process(
        ["nginx", "-p", folder, "-c", conf], log, {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    ) as pid:
        await wait_open(port, log)
        yield port, pid
