"""The wall between the agent server and the agent: two users of the system, of whom the agent has no capability at all.

The agent keeps the uid that owns the workspace and the home; the server has one of its own, and does all that it does
to the agent's files with the agent's rights: what the agent may not reach, no link of its making leads the server to.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from container import syscalls

SERVER_UID: Final = 10002
"""Uid and gid of the agent server, where it is apart from the agent."""

KEPT: Final = (5, 6, 7)
"""CAP_KILL, CAP_SETGID, CAP_SETUID (linux/capability.h): to signal the agent, and to start it under its own uid."""

_SET_DUMPABLE, _SET_KEEPCAPS, _CAPBSET_READ, _CAPBSET_DROP, _SET_NO_NEW_PRIVS = 4, 8, 23, 24, 38
"""Of prctl(2), linux/prctl.h."""

_CAPABILITY_VERSION_3: Final = 0x20080522
_SETRESUID_SETRESGID: Final = {"x86_64": (117, 119), "aarch64": (147, 149)}
"""Numbers of the system calls, which change one thread; libc's functions of these names change all (nptl(7))."""

_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class WallError(Exception):
    """The two users cannot be had; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class AgentUser:
    """The user that the agent runs as. `uid`: its uid and gid; None when it is the agent server's own."""

    uid: int | None = None

    @property
    def is_apart(self) -> bool:
        """Whether the agent is another user than the agent server."""
        return self.uid is not None

    @property
    def spawn_arguments(self) -> dict[str, Any]:
        """What `subprocess` is told, so that a child is this user's; it has no capability then, and gets none."""
        return {} if self.uid is None else {"user": self.uid, "group": self.uid, "extra_groups": ()}

    @contextlib.contextmanager
    def acting(self) -> Iterator[None]:
        """This thread has the agent's rights to files and to what `/proc` tells, and makes files that are the agent's.

        The real and the saved uid stay, so that the agent can neither signal nor trace the thread. For blocking work
        alone: with an `await` inside, all else that the loop does would have these rights.
        """
        if self.uid is None or os.geteuid() == self.uid:
            yield
            return
        uid, gid = os.geteuid(), os.getegid()
        _set_thread(self.uid, self.uid)
        try:
            yield
        finally:
            _set_thread(uid, gid)

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to every process of this user, who must be apart; none left is fine.

        The kernel takes them all as one, and no fork comes between (kill(2), a pid of -1): whatever they do to be found
        by nobody, or to become more than are ended.
        """
        with self.acting():
            _set_effective(())  # KILL would reach everybody
            try:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(-1, number)
            finally:
                _set_effective(KEPT)


SAME: Final = AgentUser()
"""The agent server's own user."""


def part(environ: Mapping[str, str]) -> AgentUser:
    """Become the agent server's user, for good, and say who the agent's is: `VF_AGENT_UID`. To be called once, by a
    process that has one thread. Where the variable is not set, or this process is not root's, nothing can be parted.

    Raises WallError when root lacks what it takes: the agent must not be root's.
    """
    text = environ.get("VF_AGENT_UID", "")
    if text and (not text.isascii() or not text.isdigit() or int(text) in (0, SERVER_UID)):
        raise WallError(f"VF_AGENT_UID must be a uid that is neither 0 nor {SERVER_UID}, not {text!r}")
    user = AgentUser(int(text) if text and os.geteuid() == 0 else None)
    if user.is_apart:
        try:
            _become_server()
        except OSError as error:
            raise WallError(
                "VF_AGENT_UID is set, and the agent cannot be given a uid of its own: root needs the capabilities "
                f"KILL, SETGID, SETPCAP and SETUID for that ({error.strerror})"
            ) from error
    _prctl(_SET_DUMPABLE, 0)  # nobody of the same uid reads this process's memory, environment or descriptors
    return user


def _become_server() -> None:
    """Keep KEPT, and leave nothing to any program that is started from here."""
    number = 0
    while _LIBC.prctl(_CAPBSET_READ, ctypes.c_ulong(number), 0, 0, 0) >= 0:
        _prctl(_CAPBSET_DROP, number)
        number += 1
    _prctl(_SET_KEEPCAPS, 1)
    os.setgroups(())
    os.setresgid(SERVER_UID, SERVER_UID, SERVER_UID)
    os.setresuid(SERVER_UID, SERVER_UID, SERVER_UID)
    _set_effective(KEPT)
    _prctl(_SET_NO_NEW_PRIVS, 1)
    syscalls.refuse()


def _set_effective(numbers: Collection[int]) -> None:
    """Effective capabilities of this thread; those that it may have again are KEPT. Raises OSError."""
    effective, permitted = (sum(1 << number for number in each) for each in (numbers, KEPT))
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # Effective, permitted, inheritable; twice, for the capabilities from 32 on (capset(2)).
    _checked(_LIBC.capset(header, (ctypes.c_uint32 * 6)(effective, permitted, 0, 0, 0, 0)))


def _set_thread(uid: int, gid: int) -> None:
    """Effective ids of this thread. Raises OSError."""
    setresuid, setresgid = _SETRESUID_SETRESGID[os.uname().machine]
    same = ctypes.c_long(-1)
    _checked(_LIBC.syscall(ctypes.c_long(setresgid), same, ctypes.c_long(gid), same))
    _checked(_LIBC.syscall(ctypes.c_long(setresuid), same, ctypes.c_long(uid), same))


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    _checked(_LIBC.prctl(option, ctypes.c_ulong(value), zero, zero, zero))


def _checked(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
