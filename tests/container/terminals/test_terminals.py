"""Terminals of an agent server, with real shells: what is typed and shown, once each, whatever is cut when."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from container.terminals import terminal as terminal_module
from container.terminals.pty import Pty
from container.web.app_keys import CONNECTIONS, TERMINALS
from tests.container.conftest import ONE_SHOT, Sandbox, Start, eventually
from tests.terminal_client import SECONDS, Shell

FLOOD = "exec sh -c 'stty -onlcr; printf be''gin; head -c {size} /dev/urandom | base64 -w 76 | tee sent.txt; exit 7'\n"
"""Prints `begin`, and from there on some 1.35 times as many bytes as `size`, which it keeps; and ends the shell."""


async def opened(sandbox: Sandbox, **body: Any) -> Shell:
    async with sandbox.http.post("/terminals", json=body) as response:
        assert response.status == 201, await response.text()
        name = (await response.json())["id"]
    return shell_at(sandbox, name)


def shell_at(sandbox: Sandbox, name: str) -> Shell:
    return Shell(
        lambda query: sandbox.http.ws_connect(f"/terminals/{name}", params=query, max_msg_size=0), name
    )


@asynccontextmanager
async def following(shell: Shell, pause: float = 0.0) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(shell.follow(pause))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def digest(data: bytes | bytearray) -> str:
    return f"{len(data)} bytes, {hashlib.sha256(data).hexdigest()}"


async def listed(sandbox: Sandbox) -> list[dict[str, Any]]:
    async with sandbox.http.get("/terminals") as response:
        return list((await response.json())["terminals"])


async def test_a_shell_says_what_it_is_told_and_how_it_ended(sandbox: Sandbox) -> None:
    shell = await opened(sandbox, cols=91, rows=33)
    async with following(shell) as end:
        await shell.type("stty size; tty; ps -o tpgid=,sid= -p $$; echo $TERM\r")
        await shell.shows("33 91")
        await shell.shows("/dev/pts/")
        await shell.shows("xterm-256color")
        await shell.type("exit 5\r")
        await asyncio.wait_for(end, SECONDS)
    assert shell.exit_code == 5
    assert shell.close_code == 1000
    (left,) = await listed(sandbox)
    assert (left["running"], left["exitCode"]) == (False, 5)
    again = shell_at(sandbox, left["id"])
    await again.follow()
    assert again.output == shell.output  # its last screen, until it is deleted
    async with sandbox.http.delete(f"/terminals/{left['id']}") as response:
        assert response.status == 204
    assert await listed(sandbox) == []


async def test_it_is_in_the_workspace_as_the_agent_without_what_opens_the_sandbox(sandbox: Sandbox) -> None:
    shell = await opened(sandbox)
    async with following(shell):
        await shell.type("env > env.txt; pwd > pwd.txt; touch do''ne\r")
        workspace = sandbox.app[TERMINALS]._settings.workspace
        await eventually(lambda: (workspace / "done").exists())
    names = dict(
        line.split("=", 1) for line in (workspace / "env.txt").read_text().splitlines() if "=" in line
    )
    assert not {"VF_SANDBOX_TOKEN", "VF_START", "VF_RELAY_TOKEN", "ANTHROPIC_API_KEY"} & names.keys()
    assert "the-token" not in (workspace / "env.txt").read_text()
    assert names["HOME"] == str(workspace.parent / "home")
    assert (workspace / "pwd.txt").read_text().strip() == str(workspace)


async def test_git_and_the_proxy_know_the_sandbox_as_they_do_with_an_agent(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VF_GIT_HOSTS", "git.example.com")
    monkeypatch.setenv("VF_EGRESS_PROXY", "http://gateway:3128")
    terminals = sandbox.app[TERMINALS]
    agents = {"ANTHROPIC_BASE_URL": "http://gateway:8081", "ANTHROPIC_API_KEY": "key-of-the-start"}
    monkeypatch.setattr(terminals, "_agents", lambda: agents)
    env = terminals._environment()
    assert env["HTTPS_PROXY"] == "http://sandbox:key-of-the-start@gateway:3128"
    assert "Authorization: Bearer key-of-the-start" in env.values()
    assert "url.http://gateway:8081/git/git.example.com/.insteadOf" in env.values()
    assert "ANTHROPIC_API_KEY" not in env


async def test_a_size_is_told_to_the_shell_and_to_every_reader(sandbox: Sandbox) -> None:
    shell = await opened(sandbox)
    other = shell_at(sandbox, shell.name)
    async with following(shell), following(other):
        await shell.until(lambda: shell.size == (80, 24))
        await other.until(lambda: other.size == (80, 24))
        await shell.resize(132, 50)
        await other.until(lambda: other.size == (132, 50))
        await shell.type("stty size\r")
        await other.shows("50 132")


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_cut_no_byte_is_lost_or_doubled(sandbox: Sandbox, seed: int) -> None:
    chance = random.Random(seed)
    workspace = sandbox.app[TERMINALS]._settings.workspace
    shell = await opened(sandbox)
    async with following(shell) as end:
        await shell.type("stty -echo; cat > typed.txt; stty echo\n")
        await eventually(lambda: (workspace / "typed.txt").exists())
        lines = [f"line {number} Grüße 漢字 🙂\n" for number in range(300)]
        for line in lines:
            await shell.type(line)
            if chance.random() < 0.03:
                cuts = shell.cuts
                await shell.cut()
                await shell.until(lambda cuts=cuts: shell.cuts > cuts)  # type: ignore[misc]
        await shell.type("\x04")
        await shell.type(FLOOD.format(size=3_000_000))
        await shell.shows("begin")
        while not end.done():
            await asyncio.sleep(chance.random() * 0.1)
            if shell.is_connected and not end.done():
                await shell.cut()
        await end
    assert (workspace / "typed.txt").read_text() == "".join(lines)
    assert shell.missed == 0
    assert shell.exit_code == 7
    assert digest(shell.output.partition(b"begin")[2]) == digest((workspace / "sent.txt").read_bytes())
    assert shell.cuts > 3


async def test_a_shell_is_not_slowed_by_who_is_away_and_what_is_gone_is_told(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal_module, "GRACE_SECONDS", 0.2)
    sandbox = await start(VF_TERMINAL_BYTES="65536")
    workspace = sandbox.app[TERMINALS]._settings.workspace
    shell = await opened(sandbox)
    await shell.type("stty -echo -onlcr; echo be''gin\r")
    async with following(shell):
        await shell.shows("begin\n")
        await shell.type("yes 0123456789 | head -100000; touch do''ne\r")
        await shell.until(lambda: shell.taken == len(shell.typed))
    await eventually(lambda: (workspace / "done").exists())  # nobody has read it
    async with following(shell):
        await shell.until(lambda: shell.missed > 0)
        await shell.type("echo e''nd\r")
        await shell.shows("end\n")
    assert len(shell.output) + shell.missed == shell.cursor
    assert shell.frames[-1]["type"] in ("terminal", "input")
    at = shell.output.rindex(b"0123456789\n" * 100)
    assert at > 0


async def test_who_was_cut_off_is_waited_for(start: Start) -> None:
    sandbox = await start(VF_TERMINAL_BYTES="65536")
    workspace = sandbox.app[TERMINALS]._settings.workspace
    shell = await opened(sandbox)
    async with following(shell, pause=1.0) as end:
        await shell.type(FLOOD.format(size=1_000_000))
        await shell.shows("begin")
        await shell.cut()
        await asyncio.wait_for(end, SECONDS)
    assert shell.missed == 0
    assert shell.cuts >= 1
    assert digest(shell.output.partition(b"begin")[2]) == digest((workspace / "sent.txt").read_bytes())


async def test_a_client_s_second_connection_takes_the_place_of_its_first(sandbox: Sandbox) -> None:
    shell = await opened(sandbox)
    twin = shell_at(sandbox, shell.name)
    twin.client = shell.client
    first = asyncio.create_task(shell.read_one_connection())
    await shell.until(lambda: bool(shell.frames))
    async with following(twin):
        await asyncio.wait_for(first, SECONDS)
        assert shell.close_code == 4409
        await twin.type("echo o''nce\r")
        await twin.shows("once")


async def test_what_a_shell_leaves_running_keeps_nobody_from_its_end(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pty, "_unread", lambda _: 1)  # whenever one looks, there is more
    shell = await opened(sandbox)
    async with following(shell):
        await shell.until(lambda: bool(shell.output))
        await shell.type("yes & sleep 0.2; exit 7\r")
        await shell.until(lambda: shell.exit_code is not None)
    assert shell.exit_code == 7


async def test_deleting_one_ends_all_that_runs_in_it(sandbox: Sandbox) -> None:
    shell = await opened(sandbox)
    workspace = sandbox.app[TERMINALS]._settings.workspace
    async with following(shell) as end:
        command = "(trap '' HUP TERM; echo $BASHPID > pid.txt; while true; do sleep 0.1; done) & nohup sleep 1000 &\r"
        await shell.type(command + "echo $! > pid2.txt; touch do''ne\r")
        await eventually(lambda: (workspace / "done").exists() and (workspace / "pid.txt").exists())
        pids = [int((workspace / name).read_text()) for name in ("pid.txt", "pid2.txt")]
        async with sandbox.http.delete(f"/terminals/{shell.name}") as response:
            assert response.status == 204
        await asyncio.wait_for(end, SECONDS)
    for pid in pids:
        await eventually(lambda pid=pid: is_gone(pid))  # type: ignore[misc]
    async with sandbox.http.delete(f"/terminals/{shell.name}") as response:
        assert (response.status, (await response.json())["code"]) == (404, "terminal-not-found")


def is_gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - a line of /proc
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


async def test_an_agent_that_ends_leaves_terminals_alone(start: Start) -> None:
    sandbox = await start(agent=ONE_SHOT)
    shell = await opened(sandbox)
    async with following(shell):
        await shell.type("sleep 1000 &\r")
        frames = await sandbox.ask("r1", "say hello")
        assert frames[-1]["type"] == "process-exit"
        await shell.type("jobs; echo still he''re\r")
        await shell.shows("Running")
        await shell.shows("still here")


async def test_only_who_types_and_what_runs_in_the_foreground_is_use(sandbox: Sandbox) -> None:
    shell = await opened(sandbox)
    async with following(shell):
        await shell.until(lambda: bool(shell.output))
        before = sandbox.app[CONNECTIONS].busy_at
        assert (await sandbox.ping())["connections"] == 0
        assert "jobsQuietSeconds" not in await sandbox.ping()
        await shell.type("sleep 1000\r")

        async def works() -> bool:
            return (await sandbox.ping()).get("jobsQuietSeconds") == 0

        await eventually(works)
        assert sandbox.app[CONNECTIONS].busy_at > before
        assert (await listed(sandbox))[0]["busy"]

        async def rests() -> bool:
            # Again and again: between a fork and the exec behind it a shell's child takes no notice.
            await shell.type("\x03")
            return "jobsQuietSeconds" not in await sandbox.ping()

        await eventually(rests)


async def test_as_many_as_may_be_and_no_more(start: Start) -> None:
    sandbox = await start(VF_TERMINALS="2")
    first = await opened(sandbox, id="one")
    async with sandbox.http.post("/terminals", json={"id": "one"}) as response:
        assert (response.status, (await response.json())["id"]) == (200, "one")  # asked again
    await opened(sandbox)
    async with sandbox.http.post("/terminals", json={}) as response:
        assert (response.status, (await response.json())["code"]) == (409, "conflict")
    async with sandbox.http.delete(f"/terminals/{first.name}") as response:
        assert response.status == 204
    await opened(sandbox)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"cols": 0}, "cols"),
        ({"cols": 501}, "cols"),
        ({"rows": True}, "rows"),
        ({"rows": "24"}, "rows"),
        ({"cwd": "/workspace/nowhere"}, "cwd"),
        ({"id": "a b"}, "id"),
        ([], "body"),
    ],
)
async def test_bad_fields_are_named(sandbox: Sandbox, body: Any, field: str) -> None:
    async with sandbox.http.post("/terminals", json=body) as response:
        assert (response.status, (await response.json())["field"]) == (400, field)
    assert await listed(sandbox) == []


@pytest.mark.parametrize(
    "message", ["x", "[]", '{"type":"resize","cols":0,"rows":1}', '{"type":"ack","cursor":99999}']
)
async def test_messages_that_mean_nothing_end_the_connection_and_not_the_shell(
    sandbox: Sandbox, message: str
) -> None:
    shell = await opened(sandbox)
    query = {"client": "c", "acks": "1"}
    async with sandbox.http.ws_connect(f"/terminals/{shell.name}", params=query) as ws:
        await ws.send_str(message)
        async for _ in ws:
            pass
        assert ws.close_code == 4400
    assert (await listed(sandbox))[0]["running"]


async def test_a_cursor_past_the_end_is_told(sandbox: Sandbox) -> None:
    shell = await opened(sandbox)
    query = {"cursor": "99999999"}
    async with sandbox.http.ws_connect(f"/terminals/{shell.name}", params=query) as ws:
        assert (await ws.receive_json())["code"] == "cursor-ahead"
        await ws.receive()
        assert ws.close_code == 4416


async def test_they_end_with_the_sandbox(sandbox: Sandbox) -> None:
    shell = await opened(sandbox)
    pid = sandbox.app[TERMINALS].get(shell.name).pty.pid
    os.kill(pid, signal.SIGSTOP)
    await sandbox.server.close()
    assert is_gone(pid)
