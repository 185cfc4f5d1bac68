"""The process tree: found by group and by mark, signalled whole."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from container.agent.process_tree import MARK, ProcessTree
from tests.container.agent.test_process import exists
from tests.container.conftest import eventually

Pair = tuple[ProcessTree, subprocess.Popen[bytes], int]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A tree of two: a leader, and its child in a session of its own."""
    tree = ProcessTree()
    source = (
        "import subprocess as s, time; p = s.Popen(['sleep', '600'], start_new_session=True); print(p.pid)"
    )
    leader = subprocess.Popen(
        [sys.executable, "-uc", f"{source}; time.sleep(600)"],
        env={**os.environ, **tree.environment},
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    tree.leader = leader.pid
    assert leader.stdout is not None
    with leader.stdout:
        child = int(leader.stdout.readline())
        yield tree, leader, child
    tree.signal(signal.SIGKILL)
    leader.wait()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


async def test_members_are_those_of_the_group_and_those_with_the_mark(pair: Pair) -> None:
    tree, leader, child = pair
    # A process that was started just now has no environment for a moment within exec(2).
    await eventually(lambda: tree.members() == {leader.pid, child})
    other = ProcessTree()
    other.leader = -1
    assert other.members() == set()
    assert other.environment[MARK] != tree.environment[MARK]


async def test_a_signal_reaches_all_and_an_end_is_seen(pair: Pair) -> None:
    tree, leader, child = pair
    tree.signal(signal.SIGSTOP)
    await eventually(lambda: state(leader.pid) == state(child) == "T")
    await tree.gone(0.05)
    tree.signal(signal.SIGCONT)
    await eventually(lambda: "T" not in {state(leader.pid), state(child)})
    tree.signal(signal.SIGKILL)
    async with asyncio.timeout(30):
        await tree.gone(60)
    assert not exists(leader.pid)
    assert not exists(child)
    tree.signal(signal.SIGKILL)
