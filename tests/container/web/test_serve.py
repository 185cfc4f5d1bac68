"""The whole program: started, killed, started again on the same volume, told to go."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from container.settings import CODE_ROOT
from tests.chaos.sandboxes import Sandboxes
from tests.container.conftest import DEADLINE, KEPT, TOKEN, eventually, recorded

Run = Callable[..., Awaitable[tuple[asyncio.subprocess.Process, aiohttp.ClientSession]]]


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    """Start `python -m container`; its process and a client for it."""
    started: list[tuple[asyncio.subprocess.Process, aiohttp.ClientSession]] = []
    for name in ("workspace", "home"):
        (tmp_path / name).mkdir()

    async def start(**changes: str) -> tuple[asyncio.subprocess.Process, aiohttp.ClientSession]:
        port_file = tmp_path / f"port-{len(started)}"
        env = {
            "VF_SANDBOX_TOKEN": TOKEN,
            "VF_SESSION": "s",
            "VF_AGENT": KEPT,
            "VF_HOST": "127.0.0.1",
            "VF_PORT": "0",
            "VF_PORT_FILE": str(port_file),
            "VF_WORKSPACE": str(tmp_path / "workspace"),
            "VF_HOME": str(tmp_path / "home"),
            "VF_PENDING_DIR": str(tmp_path / "pending"),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "container", cwd=CODE_ROOT, env={**os.environ, **env, **changes}
        )
        await eventually(lambda: port_file.exists() or process.returncode is not None)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        http = aiohttp.ClientSession(f"http://127.0.0.1:{port_file.read_text().strip()}", headers=headers)
        started.append((process, http))
        return process, http

    yield start
    for process, http in started:
        await http.close()
        if process.returncode is None:
            process.kill()
        await process.wait()
    Sandboxes(tmp_path).kill_all()  # an agent outlives a server that was killed; in a container it does not


async def read(http: aiohttp.ClientSession, run_id: str, after: int = 0) -> list[dict[str, Any]]:
    """What is recorded of a run behind `after`."""
    async with http.ws_connect(f"/ws?run={run_id}&attach=1&after={after}") as ws:
        return recorded([json.loads(message.data) async for message in ws])


async def test_a_run_that_was_on_when_the_server_was_killed_ends_as_lost_without_a_gap(run: Run) -> None:
    process, http = await run()
    await (await http.put("/pending/r", json={"prompt": "say('a'); say('b'); time.sleep(600)"})).read()
    async with http.ws_connect("/ws?run=r") as ws:
        before: list[dict[str, Any]] = []
        while len(before) < 3:
            before += recorded([json.loads((await ws.receive(DEADLINE)).data)])
        process.send_signal(signal.SIGKILL)
        await process.wait()
    _, http = await run(VF_LOST_REASON="oom")
    frames = await read(http, "r")
    assert frames[:3] == before
    assert [(frame["seq"], frame["type"], frame.get("reason")) for frame in frames[3:]] == [
        (4, "sandbox-lost", "oom"),
        (5, "process-exit", "lost"),
    ]
    assert await read(http, "r", 3) == frames[3:]
    async with http.get("/ping") as response:
        assert (await response.json())["lostReason"] == "oom"
    await (await http.put("/pending/r", json={"prompt": "say('again')"})).read()
    assert await read(http, "r") == frames
    await (await http.put("/pending/next", json={"prompt": "say('goes on')"})).read()
    assert len(await read(http, "next")) == 3


async def test_sigterm_ends_the_run_its_agent_and_every_connection_in_time(run: Run) -> None:
    process, http = await run()
    # Behind the last space nothing is held back: what comes there might begin a secret.
    prompt = "child = subprocess.Popen(['sleep', '600']); say(f'{os.getpid()} {child.pid} '); time.sleep(600)"
    await (await http.put("/pending/r", json={"prompt": prompt})).read()
    async with http.ws_connect("/ws?run=r") as reader, http.ws_connect("/relay") as peer:
        frames: list[dict[str, Any]] = []
        while not any(frame["type"] == "text-delta" for frame in frames):
            frames.append(json.loads((await reader.receive(DEADLINE)).data))
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            last = [json.loads(message.data) async for message in reader]
            await peer.receive()
            assert await process.wait() == 0
    assert [frame["type"] for frame in recorded(last)] == ["sandbox-lost", "process-exit"], (frames, last)
    assert (reader.close_code, peer.close_code) == (1000, 1001)
    pids = next(frame["text"] for frame in frames if frame["type"] == "text-delta").split()
    await eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


async def test_a_wrong_setting_is_a_sentence_and_exit_code_1() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "container",
        cwd=CODE_ROOT,
        env={"VF_SESSION": "s"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors == b"vaporforge agent server: VF_SANDBOX_TOKEN must be the sandbox's token; it is missing\n"


async def test_each_line_of_the_log_names_the_session(tmp_path: Path) -> None:
    env = {
        "VF_SANDBOX_TOKEN": TOKEN,
        "VF_SESSION": "s-17",
        "VF_AGENT": KEPT,
        "VF_HOST": "127.0.0.1",
        "VF_PORT": "0",
        "VF_WORKSPACE": str(tmp_path),
        "VF_HOME": str(tmp_path),
        "VF_PENDING_DIR": str(tmp_path / "pending"),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "container",
        cwd=CODE_ROOT,
        env={**os.environ, **env},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    lines = []
    while b"listens on" not in (line := await process.stderr.readline()):
        lines.append(line)
    process.send_signal(signal.SIGTERM)
    lines += (await process.stderr.read()).splitlines()
    assert await process.wait() == 0
    assert lines
    assert all(b" session s-17: " in line for line in lines)
