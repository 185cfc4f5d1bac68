"""All that descends from an agent: whatever is its user's, where it has one to itself; else its group, and what carries
its mark in the environment (proc(5)).

Claude Code's shells, for one, are leaders of sessions of their own: no signal to the agent's group reaches them. A mark
can be cleared, and a uid cannot.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
from pathlib import Path
from signal import Signals
from typing import Final

from container.agent.spared import ENDED, HALTED, Spared
from container.uids import SAME, AgentUser

MARK: Final = "VF_AGENT_FAMILY"
"""The variable whose value, another for each agent process, its descendants inherit."""

PASSES: Final = 5
"""How often new members are looked for while the known ones are signalled: a process forks until it has its signal."""

_STATE, _GROUP = 0, 2
"""Positions in `/proc/<pid>/stat` behind the command's name, which is its second field (proc(5))."""

_STATE_LINE: Final = re.compile(r"^State:\s+(\S)", re.MULTILINE)
_UID_LINE: Final = re.compile(r"^Uid:((?:\s+\d+)+)$", re.MULTILINE)
"""Of `/proc/<pid>/status`, which everybody may read, whatever a process does."""


class ProcessTree:
    """All that has come of one agent process. `leader`: its pid, which is its group's number too, once there is one.
    `user`: whose these processes are; one that is apart has one tree at a time, and nothing else but what is
    `spared`."""

    def __init__(self, user: AgentUser = SAME, spared: Spared | None = None) -> None:
        self.leader = 0
        self._user = user
        self._spared = spared or Spared()
        self._value = secrets.token_hex(16)

    @property
    def environment(self) -> dict[str, str]:
        """What the leader is to be started with."""
        return {} if self._user.is_apart else {MARK: self._value}

    def members(self) -> set[int]:
        """The pids of those that run or are halted; zombies are none."""
        is_member = self._is_users if self._user.is_apart else self._is_marked
        found: set[int] = set()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):  # it ended just now, or is another user's
                if is_member(entry):
                    found.add(int(entry.name))
        return found - self._spared.members().keys()

    def _is_users(self, entry: Path) -> bool:
        status = (entry / "status").read_text(errors="replace")
        state, uids = _STATE_LINE.search(status), _UID_LINE.search(status)
        if state is None or uids is None:
            return False
        return state[1] not in ENDED and str(self._user.uid) in uids[1].split()

    def _is_marked(self, entry: Path) -> bool:
        status = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        if status[_STATE] in ENDED:
            return False
        if self.leader and int(status[_GROUP]) == self.leader:  # the kernel's threads are in group 0
            return True
        return f"{MARK}={self._value}".encode() in (entry / "environ").read_bytes().split(b"\0")

    def signal(self, number: Signals) -> None:
        """Send a signal to each member; none left is fine."""
        if not self._user.is_apart:
            self._signal_each(number)
        elif not self._spared.leaders:
            self._user.signal_all(number)
        elif number in (Signals.SIGSTOP, Signals.SIGKILL):
            self._signal_halted(number)
        else:
            self._signal_each(number)

    def _signal_halted(self, number: Signals) -> None:
        """The kernel halts all of the user's at once, so that none forks or runs on into another; what is spared goes
        on behind that, but for what was halted before. Parents go on last, and see no child of theirs halted."""
        before = self._spared.members()
        self._user.signal_all(Signals.SIGSTOP)
        try:
            if number is Signals.SIGKILL:
                self._signal_each(number)
        finally:
            for pid in reversed(self._spared.members()):
                if before.get(pid, "") not in HALTED:
                    _send(pid, Signals.SIGCONT)

    def _signal_each(self, number: Signals) -> None:
        reached: set[int] = set()
        for _ in range(PASSES):
            new = self.members() - reached
            for pid in new:
                _send(pid, number)
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


def _send(pid: int, number: Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
