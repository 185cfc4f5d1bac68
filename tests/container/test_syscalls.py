"""What the agent server gives up, tried in a process that has done so; by numbers that another file has of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from container import syscalls
from tests.gateway.launcher.tries import NUMBERS

ROOT = Path(__file__).parents[2]

SOURCE = """
import ctypes, json, os, signal, sys, threading
sys.path.insert(0, "tests/gateway/launcher")
import tries
from container import syscalls
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
syscalls.refuse()
found = {name: tries.outcome(lambda: tries.call(at[tries.ARM], *([0] * 6))) for name, at in tries.NUMBERS.items()}
found["clone(CLONE_NEWUSER)"] = tries.outcome(tries.clone_user_namespace)
socket = 198 if tries.ARM else 41
for family in (40, 38, 15, 17, 30, 44):
    found[f"socket({family})"] = tries.outcome(lambda: tries.call(socket, family, 1, 0))
child = os.fork()  # by clone
if child == 0:
    os._exit(7)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
ran = []
thread = threading.Thread(target=lambda: ran.append(os.popen("echo still here").read()))
thread.start()
thread.join()
json.dump({"refused": found, "child": status, "ran": ran, "allowed": tries.of_own()}, sys.stdout)
"""


@pytest.fixture(scope="module")
def tried() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SOURCE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_each_is_refused(tried: dict[str, Any]) -> None:
    expected = dict.fromkeys(tried["refused"], "EPERM") | {"clone3": "ENOSYS"}
    assert tried["refused"] == expected
    assert len(expected) > 30


def test_what_programs_need_goes_on(tried: dict[str, Any]) -> None:
    assert tried["child"] == 7
    assert tried["ran"] == ["still here\n"]
    assert set(tried["allowed"].values()) == {"done"}


def test_both_tables_have_the_same_numbers() -> None:
    both = syscalls.REFUSED.keys() & NUMBERS.keys()
    assert len(both) > 20
    assert {name: syscalls.REFUSED[name] for name in both} == {name: NUMBERS[name] for name in both}
