"""One process at a time in a folder: who comes second is refused and touches nothing; who was killed holds nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import aiohttp
import pytest

from gateway.concurrency.alone import alone_in
from gateway.config import ConfigError
from tests.gateway.development import ROOT, START_SECONDS, development, of_this, start
from tests.gateway.stack import ENDLESS, read_until

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys, time
from pathlib import Path
from gateway.concurrency.alone import alone_in
with alone_in(Path(sys.argv[1]), ""):
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_second_is_told_who_the_first_is(tmp_path: Path) -> None:
    with alone_in(tmp_path / "state", "end it"):
        with pytest.raises(ConfigError) as caught, alone_in(tmp_path / "state", "end it"):
            pytest.fail("two are in one folder")
        assert str(caught.value) == f"process {os.getpid()} uses {tmp_path / 'state'} already; end it"
    with alone_in(tmp_path / "state", "end it"), alone_in(tmp_path / "another", "end it"):
        pass


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=f"process {holder.pid} uses"), alone_in(tmp_path, ""):
            pass
        holder.kill()
        holder.wait(30)
        with alone_in(tmp_path, ""):
            pass


@pytest.mark.slow
@pytest.mark.timeout(3 * START_SECONDS)
@pytest.mark.parametrize("shared", ["state", "sandboxes"])
async def test_a_second_development_mode_leaves_the_first_alone(tmp_path: Path, shared: str) -> None:
    state, sandboxes = tmp_path / "state", str(tmp_path / "sandboxes")
    environment = {} if shared == "state" else {"VF_PROCESS_ROOT": sandboxes}
    async with development(state, **environment) as first, aiohttp.ClientSession() as client:
        body = {"title": "runs on"}
        async with client.post(f"{first.url}/api/sessions", json=body, headers=first.headers) as response:
            session = (await response.json())["id"]
        params = {"sessionId": session, "prompt": ENDLESS}
        async with client.ws_connect(
            f"{first.url}/api/sdk/ws", params=params, headers=first.headers
        ) as socket:
            await read_until(socket, "text-delta")
            second = await start(state if shared == "state" else tmp_path / "second", **environment)
            assert second.stdout is not None
            assert second.stderr is not None
            if told := await second.stdout.readline():
                second.send_signal(signal.SIGINT)
            said = await second.stderr.read()
            assert (await second.wait(), told) == (2, b"")
            assert re.search(rf"process {first.process.pid} uses \S+ already; .*=FOLDER", said.decode())
            await read_until(socket, "text-delta", 20)
            await socket.send_str(json.dumps({"type": "stop"}))
    assert of_this(tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(3 * START_SECONDS)
async def test_one_that_was_killed_leaves_no_table_behind(tmp_path: Path) -> None:
    async with development(tmp_path) as first:
        first.process.send_signal(signal.SIGKILL)
        await first.process.wait()
    async with development(tmp_path):
        servers = [command for command in of_this(tmp_path) if command.startswith("java")]
        assert len(servers) == 1, servers
    assert of_this(tmp_path) == []
