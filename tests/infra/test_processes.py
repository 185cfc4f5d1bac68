"""What a killed command left running is found by its mark, and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.cli.recovery import processes
from tests.conftest import ROOT

SLEEPS = (sys.executable, "-c", "import time; time.sleep(600)")
DEAF = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(); time.sleep(600)",
)

COMMAND = """
import os, subprocess, sys
from pathlib import Path
from infra.cli.recovery.processes import mark
made = subprocess.Popen(sys.argv[2:], env={**os.environ, **mark(Path(sys.argv[1]), "dev")}, stdout=subprocess.DEVNULL)
print(made.pid, flush=True)
sys.stdin.read()
"""
"""A command that starts something, and lives until its stdin ends."""


@pytest.fixture
def exits() -> Iterator[ExitStack]:
    with ExitStack() as exits:
        yield exits


def start(exits: ExitStack, folder: Path, *argv: str) -> tuple[subprocess.Popen[str], int]:
    """A running command, and the id of what it has started."""
    command = subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(folder), *argv],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    exits.enter_context(command)
    exits.callback(command.kill)
    assert command.stdout is not None
    child = int(command.stdout.readline())
    exits.callback(processes.end, [child], 0)
    # It is told of when the kernel has begun to execute it: its environment can be read a moment later.
    while b"VF_COMMAND=" not in (processes.PROC / str(child) / "environ").read_bytes():
        time.sleep(0.01)
    return command, child


def test_what_a_dead_command_started_is_found_and_ended(exits: ExitStack, tmp_path: Path) -> None:
    command, child = start(exits, tmp_path, *SLEEPS)
    assert processes.left(tmp_path, "dev") == []
    command.kill()
    command.wait()
    assert processes.left(tmp_path, "dev") == [child]
    assert processes.left(tmp_path / "other", "dev") == []
    assert processes.left(tmp_path, "prod") == []
    processes.end([child])
    assert processes.left(tmp_path, "dev") == []


def test_what_does_not_listen_is_killed(exits: ExitStack, tmp_path: Path) -> None:
    command, child = start(exits, tmp_path, *DEAF)
    command.kill()
    command.wait()
    processes.end([child], seconds=0.5)
    assert processes.left(tmp_path, "dev") == []


def test_what_outlives_a_command_for_its_user_stays(exits: ExitStack, tmp_path: Path) -> None:
    """Such as the connection that ssh shares, or an agent that keeps a passphrase."""
    command, _ = start(exits, tmp_path, "sleep", "600")
    command.kill()
    command.wait()
    assert processes.left(tmp_path, "dev") == []


def test_a_containers_processes_are_not_judged_by_ids_of_this_machine(
    exits: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, child = start(exits, tmp_path, *SLEEPS)
    command.kill()
    command.wait()
    table = tmp_path / "proc"
    for name, space in (("self", "pid:[1]"), (str(child), "pid:[2]")):
        (table / name / "ns").mkdir(parents=True)
        (table / name / "ns" / "pid").symlink_to(space)
    for name in ("comm", "environ", "stat"):
        (table / str(child) / name).write_bytes((processes.PROC / str(child) / name).read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr(processes, "PROC", table)
        assert processes.left(tmp_path, "dev") == []
        (table / str(child) / "ns" / "pid").unlink()
        (table / str(child) / "ns" / "pid").symlink_to("pid:[1]")
        assert processes.left(tmp_path, "dev") == [child]


def test_an_id_that_was_given_again_while_its_end_was_waited_for_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, signalled = iter([7, 7]), []
    monkeypatch.setattr(processes, "_ticks", lambda _: next(begun, 9))
    monkeypatch.setattr(os, "kill", lambda *told: signalled.append(told))
    processes.end([4711], seconds=0.2)
    assert signalled == [(4711, signal.SIGTERM)]


def test_this_process_lives_and_nobody_did_before_the_machine_started() -> None:
    assert processes.lives(os.getpid(), 4_000_000_000)
    assert not processes.lives(os.getpid(), 1_000_000_000)


def test_a_pulumi_lives_also_where_the_clock_was_set_since(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_name", lambda _: "pulumi")
    assert processes.lives(os.getpid(), 1_000_000_000)


def test_another_users_process_lives_where_the_system_hides_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stat").write_text("btime 1\n")
    monkeypatch.setattr(processes, "PROC", tmp_path)

    def kill(_: int, __: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", kill)
    assert processes.lives(4711, 4_000_000_000)
