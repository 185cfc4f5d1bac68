"""Two users in a sandbox: what is refused, and what happens where there is one. On an engine: test_walls.py."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from subprocess import PIPE, run

import pytest

from container.uids import SAME, SERVER_UID, AgentUser, WallError, part

ROOT = Path(__file__).parents[2]
GET_DUMPABLE = 3


@pytest.mark.parametrize("text", ["0", "-1", "agent", "1.5", str(SERVER_UID), "\u0661"])
def test_an_agent_is_never_root_nor_the_server(text: str) -> None:
    with pytest.raises(WallError, match="VF_AGENT_UID must be a uid that is neither 0 nor 10002"):
        part({"VF_AGENT_UID": text})


def test_one_user_acts_as_itself_and_spawns_as_itself() -> None:
    assert not SAME.is_apart
    assert SAME.spawn_arguments == {}
    with SAME.acting():
        assert os.geteuid() == os.getuid()


def test_another_user_is_told_to_whoever_spawns() -> None:
    assert AgentUser(10001).spawn_arguments == {"user": 10001, "group": 10001, "extra_groups": ()}


def in_a_process(source: str, **environ: str) -> str:
    done = run(
        [sys.executable, "-c", source],
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=PIPE,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    "environ", [{}, {"VF_AGENT_UID": "10001"}], ids=["where nobody asks for two", "where only root could"]
)
def test_one_user_stays_one_and_is_not_dumpable(environ: dict[str, str]) -> None:
    source = f"""
import ctypes, os
from container.uids import part
if {bool(environ)} and os.geteuid() == 0: os.setresuid(10003, 10003, 10003)
before = os.getresuid()
user = part({environ!r})
print(user.is_apart, os.getresuid() == before, ctypes.CDLL(None).prctl({GET_DUMPABLE}, 0, 0, 0, 0))
"""
    assert in_a_process(source) == "False True 0"
    assert ctypes.CDLL(None).prctl(GET_DUMPABLE, 0, 0, 0, 0) == 1  # this one is another process
