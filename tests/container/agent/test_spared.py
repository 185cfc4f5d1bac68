"""What is the agent's user's and not the agent's: it neither halts nor ends with it. Two users take root; elsewhere
there is one, and the same holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from container.agent.spared import processes_of

ROOT = Path(__file__).parents[3]
UID = 61234
"""Nobody's."""

WALLED = """
import asyncio, os, signal, sys
from pathlib import Path
from container.agent.process_tree import ProcessTree
from container.agent.spared import Spared
from container.terminals.pty import Pty
from container.uids import part
WAS_ROOT = os.geteuid() == 0
user = part({"VF_AGENT_UID": "%d"})
assert user.is_apart == WAS_ROOT

def state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"

async def holds(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)

async def main():
    spared = Spared()
    said = bytearray()
    pty = Pty(said.extend, lambda: 1 << 20, lambda code: None, spared)
    env = {"PATH": os.defpath, "PS1": "> "}
    await pty.open(("/bin/sh",), env, Path("/"), user, (80, 24))
    pty.write(b"sleep 999 & sleep 998 & kill -STOP $!; id -u; tty; ls -n $(tty); echo re''ady\\r")
    await holds(lambda: b"ready" in said)
    assert not WAS_ROOT or b"%d" in said, said
    tree = ProcessTree(user, spared)
    command = ("/bin/sh", "-c", "setsid sleep 997 & sleep 996; true")
    theirs = {**env, **tree.environment}
    agent = await asyncio.create_subprocess_exec(
        *command, env=theirs, start_new_session=True, **user.spawn_arguments)
    tree.leader = agent.pid
    shells = spared.members()
    assert len(shells) == 3 and sorted(shells.values()).count("T") == 1, shells
    await holds(lambda: len(tree.members()) == 3)
    agents = tree.members()
    assert not agents & shells.keys()
    tree.signal(signal.SIGSTOP)
    await holds(lambda: {state(pid) for pid in agents} == {"T"})  # a busy machine takes its time to halt them
    await holds(lambda: {pid: state(pid) == "T" for pid in shells} == {pid: s == "T" for pid, s in shells.items()})
    tree.signal(signal.SIGCONT)
    await holds(lambda: "T" not in {state(pid) for pid in agents})
    assert [state(pid) for pid, s in shells.items() if s == "T"] == ["T"]
    tree.signal(signal.SIGKILL)
    await holds(lambda: {state(pid) for pid in agents} <= {"Z", "gone"})
    await holds(lambda: {pid: state(pid) == "T" for pid in shells} == {pid: s == "T" for pid, s in shells.items()})
    pty.write(b"echo still th''ere\\r")
    await holds(lambda: b"still there" in said)
    await pty.close()
    await holds(lambda: {state(pid) for pid in shells} <= {"Z", "gone"})
    assert spared.leaders == set()
    print("well")

asyncio.run(main())
"""


def test_processes_of_a_session_and_what_came_of_them_are_found() -> None:
    script = "setsid sleep 60 & exec sleep 61"
    process = subprocess.Popen(["/bin/sh", "-c", script], start_new_session=True)
    try:
        while len(found := processes_of([process.pid])) < 2:
            pass
        assert process.pid in found
        assert processes_of([]) == {}
        assert os.getpid() not in found
    finally:
        for pid in processes_of([process.pid]):
            os.kill(pid, 9)
        process.wait()


def test_an_agent_of_another_user_halts_and_ends_without_its_users_terminals() -> None:
    # A signal to all of a user's reaches the agent server's too, and what is deployed on this machine has the same: the
    # processes that it sees are its own alone.
    apart = ("unshare", "--pid", "--fork", "--mount-proc") if os.geteuid() == 0 else ()
    done = subprocess.run(
        [*apart, sys.executable, "-c", WALLED % (UID, UID)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == ("well", 0), done.stderr
