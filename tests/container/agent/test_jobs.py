"""Background jobs: found where an agent has left some, seen to work or to rest, and told once they have ended."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from container.agent import jobs
from container.agent.jobs import Jobs
from container.runs import service
from tests.container.conftest import Sandbox, Start, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

LISTENER = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); time.sleep(600)"


def leave(script: str) -> str:
    """A prompt that leaves a shell's script behind, as `command &` does."""
    return f"subprocess.run({['sh', '-c', f'{script} >/dev/null 2>&1 &']!r}); say('left')"


class Clock:
    """Stands in for `time` in jobs.py."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(jobs, "time", clock)
    return clock


def jobs_of(sandbox: Sandbox, path: Path) -> Jobs:
    """Looks when the test says so."""
    return Jobs(path / "jobs.json", sandbox.agent.family)


def named(path: Path) -> list[str]:
    file = path / "jobs.json"
    return json.loads(file.read_text()) if file.exists() else []


async def test_what_hangs_on_the_agent_is_no_job(sandbox: Sandbox, tmp_path: Path) -> None:
    await sandbox.ask("r1", "global held; held = subprocess.Popen(['sleep', '600'])")
    mine = jobs_of(sandbox, tmp_path)
    mine.look()
    assert mine.quiet_seconds is None
    assert named(tmp_path) == []


@pytest.mark.parametrize(
    "prompt",
    [
        leave("exec sleep 600"),
        "subprocess.Popen(['sleep', '600'], start_new_session=True)",
        leave("setsid sleep 600"),
    ],
    ids=["its parent has ended", "it leads a session", "both"],
)
async def test_what_was_left_is_a_job_and_rests(
    sandbox: Sandbox, clock: Clock, tmp_path: Path, prompt: str
) -> None:
    await sandbox.ask("r1", prompt)
    mine = jobs_of(sandbox, tmp_path)

    def found() -> bool:
        mine.look()
        return named(tmp_path) == ["sleep 600"]

    await eventually(found)
    mine.look()
    clock.now += 100
    mine.look()
    assert mine.quiet_seconds == 100


@pytest.mark.parametrize(
    "script", ["while :; do echo x; sleep 0.05; done", f"exec python3 -c {shlex.quote(LISTENER)}"]
)
async def test_one_that_writes_or_listens_does_not_rest(
    sandbox: Sandbox, clock: Clock, tmp_path: Path, script: str
) -> None:
    await sandbox.ask("r1", leave(script))
    mine = jobs_of(sandbox, tmp_path)

    def works() -> bool:
        clock.now += 100
        mine.look()
        return mine.quiet_seconds == 0

    for _ in range(3):
        await eventually(works)
    assert len(named(tmp_path)) == 1


async def test_one_that_has_ended_by_itself_is_forgotten(sandbox: Sandbox, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    await sandbox.ask("r1", leave(f"while [ ! -e {stop} ]; do sleep 0.05; done"))
    mine = jobs_of(sandbox, tmp_path)
    mine.look()
    assert mine.quiet_seconds is not None
    stop.touch()

    def gone() -> bool:
        mine.look()
        return mine.quiet_seconds is None and named(tmp_path) == []

    await eventually(gone)
    assert mine.take_ended() == []


def told(frames: list[dict[str, Any]]) -> list[Any]:
    return [frame["jobs"] for frame in frames if frame["type"] == "jobs-ended"]


def is_kept(home: Path) -> Callable[[], bool]:
    return lambda: (home / ".vaporforge" / "jobs.json").exists()


async def test_what_ended_with_its_sandbox_is_told_by_the_next_run_alone(
    start: Start, tmp_path: Path
) -> None:
    first = await start()
    assert told(await first.ask("r1", leave("exec sleep 601"))) == []
    await eventually(is_kept(tmp_path / "home"))
    ping = await first.ping()
    assert ping["jobsQuietSeconds"] >= 0
    await first.server.close()
    second = await start()
    assert "jobsQuietSeconds" not in await second.ping()
    frames = await second.ask("r2", "say('again')")
    assert [frame["type"] for frame in frames[:2]] == ["run", "jobs-ended"]
    assert told(frames) == [["sleep 601"]]
    assert told(await second.ask("r3", "say('again')")) == []
    await second.server.close()
    assert told(await (await start()).ask("r4", "say('again')")) == []


async def test_what_ended_with_its_agent_is_told_too(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.0)
    await sandbox.ask("r1", leave("exec sleep 602"))
    await eventually(is_kept(tmp_path / "home"))
    await sandbox.ask("r2", "os._exit(3)")
    await eventually(lambda: bool(sandbox.runs.jobs._ended))
    assert told(await sandbox.ask("r3", "say('again')")) == [["sleep 602"]]


async def test_what_ended_with_its_agent_is_told_by_a_run_that_waited_behind_that_one(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    await sandbox.ask("r1", leave("exec sleep 604"))
    await eventually(is_kept(tmp_path / "home"))
    await sandbox.put("r2", "os._exit(3)")
    await sandbox.put("r3", "say('again')")
    async with sandbox.connect("r2"):
        assert told((await sandbox.read("r3"))[0]) == [["sleep 604"]]
    assert told(await sandbox.ask("r4", "say('again')")) == []


@pytest.mark.parametrize(
    "content", ["{", '{"a": 1}', "[[1], null]", "7", "[" * 50_000], ids=["{", "object", "mixed", "7", "deep"]
)
async def test_a_damaged_list_harms_no_run(start: Start, tmp_path: Path, content: str) -> None:
    file = tmp_path / "home" / ".vaporforge" / "jobs.json"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    frames = await (await start()).ask("r1", "say('well')")
    assert frames[-1]["reason"] == "completed"


@pytest.mark.parametrize("kind", ["pipe", "zeros", "long"])
async def test_what_an_agent_puts_in_the_list_s_place_is_not_read_for_ever(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "jobs.json"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "zeros":
        file.symlink_to("/dev/zero")
    else:
        with file.open("wb") as sparse:
            sparse.truncate(1 << 40)
    mine = Jobs(file, lambda: (0, set()))
    async with asyncio.timeout(10):
        await asyncio.to_thread(mine.start)
    assert mine.take_ended() == []


async def test_a_pipe_in_the_way_of_the_list_holds_up_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "jobs.new")
    await sandbox.ask("r1", leave("exec sleep 603"))
    mine = jobs_of(sandbox, tmp_path)
    async with asyncio.timeout(10):
        while named(tmp_path) != ["sleep 603"]:
            await asyncio.to_thread(mine.look)
