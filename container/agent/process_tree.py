"""The process tree of an agent: its group, and whatever carries its mark in the environment (proc(5)).

Claude Code's shells, for one, are leaders of sessions of their own: no signal to the agent's group reaches them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from pathlib import Path
from typing import Final

from container.uids import SAME, AgentUser

MARK: Final = "VF_AGENT_FAMILY"
"""The variable whose value, another for each agent process, its descendants inherit."""

PASSES: Final = 5
"""How often new members are looked for while the known ones are signalled: a process forks until it has its signal."""

_STATE, _GROUP = 0, 2
"""Positions in `/proc/<pid>/stat` behind the command's name, which is its second field (proc(5))."""


class ProcessTree:
    """Everything that descends from one agent process and has kept its mark or its group. `leader`: its pid, which is
    the group's number too, once there is one. `user`: whose processes these are."""

    def __init__(self, user: AgentUser = SAME) -> None:
        self.leader = 0
        self._user = user
        self._value = secrets.token_hex(16)

    @property
    def environment(self) -> dict[str, str]:
        """What the leader is to be started with."""
        return {MARK: self._value}

    def members(self) -> set[int]:
        """The pids of those that run or are halted; zombies are none."""
        with self._user.acting():  # an environment is told to its own user alone
            return self._members()

    def _members(self) -> set[int]:
        mark = f"{MARK}={self._value}".encode()
        found = set()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                status = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if status[_STATE] in "ZX":
                    continue
                in_group = (
                    self.leader and int(status[_GROUP]) == self.leader
                )  # the kernel's threads are in group 0
                if in_group or mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
            except OSError:  # it ended just now, or is another user's
                continue
        return found

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to each member; none left is fine."""
        reached: set[int] = set()
        for _ in range(PASSES):
            new = self.members() - reached
            for pid in new:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
            if not new:
                return
            reached |= new

    async def gone(self, seconds: float) -> None:
        """Return when no member is left, or `seconds` are over."""
        clock = asyncio.get_running_loop().time
        deadline, pause = clock() + seconds, 0.005
        while self.members() and clock() < deadline:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.1)
