"""The process itself: its arguments, its start, its drain on a signal, and what it says when it cannot run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from container.protocol import VERSION
from gateway.ids import new_id
from gateway.serve import CLOSE_SECONDS
from gateway.web.request.auth import mint
from tests.chaos.sandboxes import Sandboxes
from tests.gateway.stack import SECONDS, SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ROOT = Path(__file__).resolve().parents[2]
DRAIN_SECONDS = 3.0


class Process:
    """`python -m gateway` with arguments and an environment of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.log = ""

    async def port(self) -> int:
        """Its public port, once it listens."""
        assert self.process.stderr is not None
        async with asyncio.timeout(SECONDS):
            while found := await self.process.stderr.readline():
                self.log += found.decode()
                if told := re.search(r"listening on port (\d+)", self.log):
                    return int(told[1])
        raise AssertionError(f"it ended: {self.log}")

    async def end(self) -> int:
        """Its status and the rest of its log."""
        async with asyncio.timeout(SECONDS):
            _, rest = await self.process.communicate()
        self.log += rest.decode()
        assert self.process.returncode is not None
        return self.process.returncode


@contextlib.asynccontextmanager
async def gateway(*arguments: str, **environment: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        *arguments,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1024 * 1024,
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.fixture
def environment(dynamodb_endpoint: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What a gateway is started with; the sandboxes that it leaves behind are ended."""
    yield {
        "VF_STACK": "test",
        "VF_JWT_SECRET": SECRET,
        "VF_SANDBOX_SECRET": SECRET,
        "VF_CREDENTIAL_KEY": SECRET,
        "VF_HOST": "127.0.0.1",
        "VF_PORT": "0",
        "VF_BROKER_PORT": "0",
        "VF_TABLE": f"test-{new_id()}",
        "VF_TABLE_CREATE": "true",
        "VF_DYNAMODB_ENDPOINT": dynamodb_endpoint,
        "VF_DRIVER": "process",
        "VF_PROCESS_ROOT": str(tmp_path),
        "VF_DRAIN_SECONDS": str(DRAIN_SECONDS),
    }
    Sandboxes(tmp_path).kill_all()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_until_a_signal_and_drains(
    environment: dict[str, str], number: signal.Signals
) -> None:
    async with gateway(**environment) as process:
        url = f"http://127.0.0.1:{await process.port()}"
        headers = {"Authorization": f"Bearer {mint('ada', 600, secret=SECRET)}"}
        async with aiohttp.ClientSession(headers=headers) as client:
            async with client.get(f"{url}/api/ready?token=hidden") as response:
                assert response.status == 200
            async with client.post(f"{url}/api/sessions", json={}) as response:
                session = (await response.json())["id"]
            # An open WebSocket does not hold the gateway up.
            async with client.ws_connect(f"{url}/api/sdk/ws?sessionId={session}") as waiting:
                began = time.monotonic()
                process.process.send_signal(number)
                while (message := await waiting.receive(SECONDS)).type is aiohttp.WSMsgType.TEXT:
                    pass
                assert message.type in (
                    aiohttp.WSMsgType.CLOSE,
                    aiohttp.WSMsgType.CLOSED,
                    aiohttp.WSMsgType.ERROR,
                )
        assert await process.end() == 0
        assert time.monotonic() - began < DRAIN_SECONDS + 2 * CLOSE_SECONDS
    assert "draining" in process.log
    assert "drained" in process.log
    assert "Traceback" not in process.log
    assert "hidden" not in process.log


async def test_a_drained_gateway_answers_its_proxy_until_that_has_seen_it(
    environment: dict[str, str],
) -> None:
    async with gateway(**environment, VF_PROXY_SECRET="p" * 32) as process:
        url = f"http://127.0.0.1:{await process.port()}"
        headers = {"Connection": "close"}
        async with aiohttp.ClientSession(headers=headers) as client:
            process.process.send_signal(signal.SIGTERM)
            statuses: list[int] = []
            while not statuses or statuses[-1] == 200:
                async with client.get(f"{url}/api/ready") as response:
                    statuses.append(response.status)
            # As many checks as the proxy makes before it sends nothing more here, and what it has sent by then.
            for path, status in (("ready", 503), ("version", 200)) * 3:
                async with client.get(f"{url}/api/{path}") as response:
                    assert response.status == status
                await asyncio.sleep(0.1)
        assert await process.end() == 0


async def test_arguments() -> None:
    async with gateway("--version") as process:
        out, _ = await process.process.communicate()
        assert (process.process.returncode, out.decode().strip()) == (0, VERSION)
    async with gateway("--help") as process:
        out, _ = await process.process.communicate()
        assert process.process.returncode == 0
        assert "--dev" in out.decode()
    async with gateway("--nonsense") as process:
        assert await process.end() == 2


async def test_a_bad_setting_is_one_line_and_status_2(environment: dict[str, str]) -> None:
    for change, said in (
        ({"VF_JWT_SECRET": ""}, "VF_JWT_SECRET is not set; it is required"),
        ({"VF_PORT": "http"}, "VF_PORT is 'http'; it must be a number, 0 or more"),
        ({"VF_LOG_LEVEL": "LOUD"}, "VF_LOG_LEVEL is 'LOUD'; it must be DEBUG, INFO, WARNING or ERROR"),
    ):
        async with gateway(**{**environment, **change}) as process:
            assert await process.end() == 2
            assert process.log == f"{said}\n"


async def test_a_port_that_is_taken_is_said(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with gateway(**{**environment, "VF_PORT": str(taken.getsockname()[1])}) as process:
            assert await process.end() == 1
            assert "the gateway cannot run: " in process.log
            assert "Traceback" not in process.log
