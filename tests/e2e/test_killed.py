"""A stack whose commands are killed in mid-work, with and without all that they started; the next ones put it right."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.deployed import Deployed

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Deployed]:
    made = Deployed("demo", tmp_path)
    try:
        yield made
    finally:
        made.destroy()


def started_by(stack: Deployed) -> list[int]:
    """The processes of this stack's commands, and those that they left."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environ = (folder / "environ").read_bytes()
        except OSError:
            continue
        if f"VF_STATE={stack.environ['VF_STATE']}".encode() in environ.split(b"\0"):
            found.append(int(folder.name))
    return found


def volumes(stack: Deployed) -> set[str]:
    """The names of all that the engine has of the stack."""
    found = stack.engine.volumes.list(filters={"label": f"vaporforge.stack={stack.id}"})
    return {str(volume.name) for volume in found}


def killed(stack: Deployed, *command: str, when: Callable[[], object], everything: bool) -> None:
    """Start a command and kill it once `when` holds; `everything`: with whatever it had started."""
    argv = [sys.executable, "-m", f"infra.cli.{command[0]}", "--stack", stack.name, *command[1:]]
    with subprocess.Popen(
        argv, cwd=stack.tree, env=stack.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while not when():
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.02)
        for pid in [process.pid, *(started_by(stack) if everything else ())]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def test_a_killed_command_is_put_right_by_the_next(stack: Deployed) -> None:
    up = ("up", "--agent", "demo", "--port", str(stack.port), "--set", "gatewayReplicas=1")
    role = "vaporforge.role={}".format
    # A container is being made, and its plugin dies with all the rest: it goes on, unknown to Pulumi.
    killed(stack, *up, when=lambda: stack.containers(role("launcher"), all=True), everything=True)
    # The command alone: the plugin takes away what it was making.
    killed(stack, *up, when=lambda: stack.containers(role("gateway"), all=True), everything=False)
    # Pulumi dies while it writes: what lies beside the state is written in its place, and empty until it is.
    beside = list(Path(stack.environ["VF_STATE"]).rglob(f"stacks/vaporforge/{stack.name}.json.attrs"))
    for path in beside:
        path.write_bytes(b"")
    assert beside
    stack.up()
    assert len(stack.containers(role("gateway"), all=True)) == 1
    assert len(stack.containers(role("launcher"), all=True)) == 1
    kept = volumes(stack)
    assert sorted(name.removeprefix(f"{stack.id}-").rpartition("-")[0] for name in kept) == [
        "blobs",
        "gateway-secrets",
        "launcher-secrets",
        "proxy-secrets",
        "table",
    ]
    # Gateways are replaced one after another: the new one would serve beside both for ever.
    killed(
        stack,
        *("up", "--set", "queueLimit=7"),
        when=lambda: len(stack.containers(role("gateway"), all=True)) == 2,
        everything=True,
    )
    stack.up()
    assert len(stack.containers(role("gateway"), all=True)) == 1
    assert volumes(stack) == kept
    killed(
        stack,
        *("down", "--volumes"),
        when=lambda: len(stack.containers(role("gateway"), all=True)) < 1,
        everything=True,
    )
    stack.destroy()
    assert started_by(stack) == []
