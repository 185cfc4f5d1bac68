"""Terminals through gateways: what is shown is what an uninterrupted terminal shows, whatever is cut or killed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from gateway.sandboxes.drivers import SandboxState
from tests.container.conftest import eventually
from tests.gateway.stack import SECONDS, Stack
from tests.terminal_client import Shell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SCREEN = Path(__file__).parents[3] / "screen.mjs"

FULL_SCREEN = r"""
import curses, sys, time
def main(screen):
    curses.start_color(); curses.use_default_colors()
    for pair in range(1, 8): curses.init_pair(pair, pair, -1)
    frame = 0
    while frame < int(sys.argv[1]):
        rows, cols = screen.getmaxyx()
        for row in range(rows - 1):
            bar = (frame * 7 + row * 13) % cols
            text = f"{row:3d} Grüße 漢字 " + "#" * bar + " " * cols
            screen.addnstr(row, 0, text, cols - 1, curses.color_pair(1 + row % 7))
        screen.addnstr(rows - 1, 0, f"{cols}x{rows} frame {frame}", cols - 1, curses.A_REVERSE)
        screen.refresh()
        frame += 1
        time.sleep(0.01)
        screen.timeout(0)
        while (key := screen.getch()) != -1:
            if key == curses.KEY_RESIZE: screen.clear()
    open("drawn", "w").close()
    screen.timeout(-1)
    while screen.getch() != ord("q"): pass
curses.wrapper(main)
"""
"""Like htop: paints all of its screen over and over, in colours, and waits for a `q`."""


async def opened(stack: Stack, session: str, gateways: list[int] | None = None, **body: Any) -> Shell:
    status, told = await stack.post(f"/api/sessions/{session}/terminals", body)
    assert status == 201, told
    return shell_at(stack, session, told["id"], gateways)


def shell_at(stack: Stack, session: str, name: str, gateways: list[int] | None = None) -> Shell:
    """`gateways`: which are asked, one after another; the first of them is taken out to go on with the next."""
    asked = gateways if gateways is not None else [0]

    def connect(query: dict[str, str]) -> Any:
        url = f"{stack.gateways[asked[0]].url}/api/sdk/terminal"
        params = {"sessionId": session, "terminal": name, **query}
        return stack.http.ws_connect(url, params=params, headers=stack.headers(), max_msg_size=0)

    return Shell(connect, name)


@asynccontextmanager
async def following(shell: Shell, pause: float = 0.0) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(shell.follow(pause))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def screen_of(output: bytes | bytearray, cols: int, rows: int) -> dict[str, Any]:
    """What @xterm/headless makes of it."""
    done = subprocess.run(
        ["node", str(SCREEN), str(cols), str(rows)], input=bytes(output), capture_output=True, check=True
    )
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


def workspace(stack: Stack, session: str) -> Path:
    return stack.root / session / "workspace"


async def ring_of(stack: Stack, session: str, name: str) -> bytes:
    """All that was said, read at once and uninterrupted: by another client."""
    whole = shell_at(stack, session, name)
    reading = asyncio.create_task(whole.read_one_connection())
    (one,) = (await stack.get(f"/api/sessions/{session}/terminals"))["terminals"]
    await whole.until(lambda: whole.cursor >= one["cursor"])
    reading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reading
    assert whole.missed == 0
    return bytes(whole.output[: one["cursor"]])


async def cutting(shell: Shell, end: asyncio.Future[Any], chance: random.Random) -> None:
    while not end.done():
        await asyncio.sleep(chance.random() * 0.15)
        if shell.is_connected and not end.done():
            await shell.cut()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_ten_megabytes_through_cuts_are_shown_once_each(stack: Stack, seed: int) -> None:
    chance, session = random.Random(seed), await stack.session()
    await stack.add()
    gateways = [seed % 2]
    shell = await opened(stack, session, gateways, cols=100, rows=40)
    flood = "head -c 7600000 /dev/urandom | base64 -w 99 | sed 's/A/Ä漢/g'"
    script = f"stty -onlcr; printf be''gin; {flood} | tee sent.txt; exit 3"
    async with following(shell) as end:
        await shell.type(f'exec sh -c "{script}"\r')
        for place in sorted(chance.sample(range(10_000_000), 8)):
            await shell.until(lambda place=place: len(shell.output) > place and shell.is_connected)  # type: ignore[misc]
            gateways[0] = 1 - gateways[0]  # the next connection is another gateway's
            cuts = shell.cuts
            await shell.cut()
            await shell.until(lambda cuts=cuts: shell.cuts > cuts)  # type: ignore[misc]
        await end
    sent = (workspace(stack, session) / "sent.txt").read_bytes()
    got = bytes(shell.output).partition(b"begin")[2]
    assert len(sent) > 10_000_000
    assert (len(got), hashlib.sha256(got).hexdigest()) == (len(sent), hashlib.sha256(sent).hexdigest())
    assert (shell.missed, shell.exit_code) == (0, 3)
    assert shell.cuts >= 8


async def test_full_screen_programs_through_cuts_and_a_resize_show_what_an_uninterrupted_one_shows(
    stack: Stack,
) -> None:
    chance, session = random.Random(4), await stack.session()
    shell = await opened(stack, session, cols=90, rows=30)
    (workspace(stack, session) / "full.py").write_text(FULL_SCREEN)
    async with following(shell):
        await shell.type(f"{sys.executable} full.py 200\r")
        await shell.shows("frame 0")
        drawn = asyncio.create_task(eventually((workspace(stack, session) / "drawn").exists))
        cuts = asyncio.create_task(cutting(shell, drawn, chance))
        half = len(shell.output) + 60_000
        await shell.until(lambda: len(shell.output) > half and shell.is_connected)
        await shell.resize(120, 36)
        await drawn
        await cuts
        await shell.until(lambda: shell.size == (120, 36))
        whole = await ring_of(stack, session, shell.name)
        await shell.until(lambda: len(shell.output) >= len(whole))
        assert bytes(shell.output[: len(whole)]) == whole
        shown = screen_of(shell.output, 120, 36)
        assert shown == screen_of(whole, 120, 36)
        assert shown["kind"] == "alternate"
        assert "120x36 frame 199" in shown["lines"][shown["base"] + 35]
        assert "漢字" in shown["lines"][shown["base"] + 3]
        await shell.type("q")
    assert shell.missed == 0
    assert shell.cuts > 1


async def test_an_editor_over_a_cut_of_ten_seconds_and_a_killed_gateway(stack: Stack) -> None:
    session = await stack.session()
    await stack.add()
    gateways = [0]
    shell = await opened(stack, session, gateways, cols=80, rows=24)
    text = "".join(f"line {number} Grüße 漢字 🙂\r" for number in range(60))
    async with following(shell, pause=0.1):
        await shell.type("vi''m -u NONE -i NONE -n notes.txt; echo do''ne\r")
        await shell.shows("\x1b[?1049h")
        await shell.type("i")
        await shell.type(text[: len(text) // 3])
        await shell.cut()
        await shell.type(text[len(text) // 3 : len(text) // 2])  # while nobody is connected
    await asyncio.sleep(10)
    async with following(shell, pause=0.1):
        await shell.type(text[len(text) // 2 :])
        await shell.until(lambda: shell.taken == len(shell.typed))
        gateways[0] = 1
        await stack.gateways[0].close()  # its connections are handed over or lost
        await shell.type("last words")
        await shell.type("\x1b")
        await asyncio.sleep(0.2)  # an escape alone is one that nothing follows for a moment
        await shell.type(":w\r")
        notes = workspace(stack, session) / "notes.txt"
        await eventually(lambda: notes.exists() and notes.read_text().endswith("last words\n"))
        await shell.until(lambda: b"written" in shell.output or b" 61L" in shell.output)
        stack.gateways.reverse()
        whole = await ring_of(stack, session, shell.name)
        await shell.until(lambda: len(shell.output) >= len(whole))
        assert bytes(shell.output[: len(whole)]) == whole
        shown = screen_of(shell.output, 80, 24)
        assert shown == screen_of(whole, 80, 24)
        assert shown["kind"] == "alternate"
        assert any("last words" in line for line in shown["lines"])
        await shell.type(":q\r")
        await shell.shows("done")
    assert notes.read_text() == text.replace("\r", "\n") + "last words\n"
    assert shell.missed == 0


async def test_a_drain_sends_it_elsewhere_and_a_character_in_two_is_whole(stack: Stack) -> None:
    session = await stack.session()
    await stack.add()
    gateways = [0]
    shell = await opened(stack, session, gateways)
    async with following(shell, pause=0.05) as end:
        await shell.type("printf '\\346\\274'; read -s x; printf '\\242'; exit 0\r")
        await shell.shows("\n")
        await shell.until(lambda: b"\xe6\xbc" in shell.output.rpartition(b"\n")[2])
        gateways[0] = 1
        stack.gateways[0].runs.drained.set()
        await shell.until(lambda: any(frame["type"] == "reconnect" for frame in shell.frames))
        await shell.type("\r")
        await asyncio.wait_for(end, SECONDS)
    assert "漢" in bytes(shell.output).decode()


async def test_it_is_opened_listed_and_closed_and_closing_again_is_success(stack: Stack) -> None:
    session = await stack.session()
    path = f"/api/sessions/{session}/terminals"
    assert await stack.get(path) == {"terminals": []}
    driver = stack.gateways[0].runs.driver
    assert (await driver.status(session)).state is SandboxState.ABSENT  # a look wakes nobody
    shell = await opened(stack, session, id="mine", cols=100, rows=30)
    (one,) = (await stack.get(path))["terminals"]
    assert one["createdAt"].endswith("Z")
    assert {**one, "createdAt": ""} == {
        "id": "mine",
        "createdAt": "",
        "cols": 100,
        "rows": 30,
        "cursor": one["cursor"],
        "running": True,
        "exitCode": None,
        "busy": one["busy"],
    }
    status, told = await stack.post(path, {"cols": 501})
    assert (status, told["field"]) == (400, "cols")
    status, told = await stack.post(path, {"cwd": "/workspace/nowhere"})
    assert (status, told["code"]) == (400, "bad-request")
    for _ in range(2):
        async with stack.http.delete(f"{stack.url}{path}/{shell.name}", headers=stack.headers()) as response:
            assert response.status == 204
    assert await stack.get(path) == {"terminals": []}
    await refused(shell, "terminal-not-found", 4404)


async def refused(shell: Shell, code: str, close: int) -> None:
    await shell.read_one_connection()
    assert (shell.frames[-1]["code"], shell.close_code) == (code, close)


async def test_a_terminal_ends_with_its_sandbox_and_nobody_wakes_it_by_looking(stack: Stack) -> None:
    session = await stack.session()
    shell = await opened(stack, session)
    driver = stack.gateways[0].runs.driver
    reading = asyncio.create_task(shell.read_one_connection())
    await shell.until(lambda: bool(shell.frames))
    await driver.stop(session)
    await asyncio.wait_for(reading, SECONDS)
    assert shell.close_code == 1013
    await refused(shell, "terminal-not-found", 4404)
    assert (await driver.status(session)).state is SandboxState.STOPPED


async def test_a_ticket_opens_it_and_others_do_not_come_in(stack: Stack) -> None:
    session = await stack.session()
    shell = await opened(stack, session)
    _, ticket = await stack.post("/api/sdk/ticket", {"sessionId": session})
    url = f"{stack.url}/api/sdk/terminal"
    params = {"sessionId": session, "terminal": shell.name, "ticket": ticket["ticket"]}
    async with stack.http.ws_connect(url, params=params) as ws:
        assert (await ws.receive_json())["type"] == "terminal"
        await ws.send_bytes(b"echo he''llo\r")
        said = b""
        while b"hello" not in said:
            message = await ws.receive(SECONDS)
            said += message.data if message.type is aiohttp.WSMsgType.BINARY else b""
    for headers, fields, status in (
        ({}, params, 401),  # it is used up
        (stack.headers("eve"), {"sessionId": session, "terminal": shell.name}, 403),
        ({**stack.headers(), "Origin": "https://evil.example"}, {"sessionId": session, "terminal": "x"}, 403),
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError) as failed:
            await stack.http.ws_connect(url, params=fields, headers=headers)
        assert failed.value.status == status


IDLE = 6.0


async def test_typing_and_a_job_in_the_foreground_are_use_and_an_idle_shell_is_none(stack: Stack) -> None:
    session = await stack.session()
    gateway = stack.gateways[0]
    store, driver = gateway.runs.store, gateway.runs.driver
    shell = await opened(stack, session)
    async with following(shell, pause=0.1):
        await shell.until(lambda: bool(shell.output))
        before = (await store.get_session(session)).used_at
        gateway.runs.uses._noted.clear()
        await shell.type("sleep 1000\r")

        async def is_used() -> bool:
            return (await store.get_session(session)).used_at > before

        await eventually(is_used)
        await asyncio.sleep(IDLE)
        await gateway.reaper(idle=IDLE).reap()  # it is connected, idle, and something runs
        assert (await driver.status(session)).state is SandboxState.RUNNING
        await shell.type("\x03")
        await asyncio.sleep(IDLE)
        await gateway.reaper(idle=IDLE).reap()
        assert (await driver.status(session)).state is SandboxState.STOPPED
