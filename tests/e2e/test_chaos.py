"""`scripts/chaos` itself, with small orders: whatever is broken, nothing is lost, and nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1200)]


def chaos(name: str, *arguments: str) -> str:
    """The table of one order that had no findings; its logs stay in artifacts/ when there were some."""
    logs = ROOT / "artifacts" / "chaos" / name
    shutil.rmtree(logs, ignore_errors=True)
    command = [str(ROOT / "scripts/chaos"), "--keep", str(logs), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1100, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}\nlogs: {logs}"
    assert "Nothing was lost." in done.stdout
    shutil.rmtree(logs)
    return done.stdout


def test_nothing_is_lost_in_a_short_campaign() -> None:
    order = ("--seed", "11", "--runs", "20", "--cuts", "60", "--faults", "12", "--sessions", "6")
    table = chaos("campaign", *order)
    assert "| connections cut | 60 |" in table
    assert "| faults of other kinds | 12 |" in table


def test_nothing_is_lost_when_a_gateway_dies_under_many_readers() -> None:
    assert "| **frames lost** | 0 |" in chaos("storm", "--seed", "1", "--storm", "100")


def test_nothing_grows_over_many_sessions() -> None:
    assert "| sandboxes reaped and woken | 12 |" in chaos("soak", "--seed", "1", "--soak", "12")


def test_a_campaign_that_is_told_to_end_leaves_nothing(tmp_path: Path) -> None:
    """SIGTERM in the middle: the exit status says so, and nothing that it started runs on."""
    logs = tmp_path / "logs"
    command = [str(ROOT / "scripts/chaos"), "--keep", str(logs), "--seed", "1", "--sessions", "2"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            wait_until(lambda: any((logs / "sandboxes").glob("*/port")))
        finally:
            process.terminate()
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output.decode()
    assert running_for(logs) == []
    assert str(logs) not in Path("/proc/mounts").read_text()


def wait_until(condition: Callable[[], bool], seconds: float = 240) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.1)


def running_for(folder: Path) -> list[str]:
    """The command lines of processes that name this folder in their arguments or environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                said = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if str(folder).encode() in said:
                    found.append((entry / "cmdline").read_bytes().decode(errors="replace"))
    return found
