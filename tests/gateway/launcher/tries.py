"""Run in a sandbox with the agent's uid: tries what the agent must not be able to, and prints `{what: outcome}`.

The outcome is the name of the error that refused it, or `done`. Stdlib alone: the sandbox's python runs its source.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
ARM = os.uname().machine == "aarch64"
ATTACH, DETACH = 16, 17
NEWUSER = 0x10000000

NUMBERS = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "clone3": (435, 435),
    "finit_module": (313, 273),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "quotactl": (179, 60),
    "request_key": (249, 218),
    "setns": (308, 268),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
"""System calls by their numbers on x86_64 and aarch64 (asm/unistd.h)."""


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def call(number: int, *arguments: int) -> int:
    result: int = LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(value) for value in arguments))
    return checked(result)


def checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def ptrace(request: int, pid: int) -> None:
    checked(LIBC.ptrace(ctypes.c_long(request), ctypes.c_long(pid), None, None))


def attach(pid: int) -> None:
    ptrace(ATTACH, pid)
    os.waitpid(pid, 0)
    ptrace(DETACH, pid)


def peek(pid: int) -> None:
    """process_vm_readv(2) of nothing is allowed to nobody but a tracer."""
    local = (ctypes.c_ulong * 2)(ctypes.addressof(ctypes.create_string_buffer(8)), 8)
    remote = (ctypes.c_ulong * 2)(0x400000, 8)
    checked(LIBC.process_vm_readv(pid, local, 1, remote, 1, 0))


def of_process(name: str, pid: int) -> dict[str, str]:
    folder = Path(f"/proc/{pid}")
    return {
        f"{name}: ptrace": outcome(lambda: attach(pid)),
        f"{name}: process_vm_readv": outcome(lambda: peek(pid)),
        **{
            f"{name}: {file}": outcome(lambda file=file: (folder / file).open("rb").read(1))  # type: ignore[misc]
            for file in ("auxv", "environ", "maps", "mem", "stack")
        },
        f"{name}: fd": outcome(lambda: list((folder / "fd").iterdir())),
        f"{name}: fd/1": outcome(lambda: os.open(folder / "fd/1", os.O_WRONLY)),
        f"{name}: cwd": outcome(lambda: list((folder / "cwd").resolve(strict=True).iterdir())),
        f"{name}: root": outcome(lambda: list((folder / "root/tmp").iterdir())),
        f"{name}: SIGKILL": outcome(lambda: os.kill(pid, signal.SIGCONT)),
        f"{name}: oom_score_adj": outcome(lambda: (folder / "oom_score_adj").write_text("1000")),
    }


def clone_user_namespace() -> None:
    if call(220 if ARM else 56, NEWUSER | signal.SIGCHLD, 0, 0, 0, 0) == 0:
        os._exit(0)


def of_kernel() -> dict[str, str]:
    found = {
        name: outcome(lambda at=at: call(at[ARM], *([0] * 6)))  # type: ignore[misc]
        for name, at in NUMBERS.items()
    }
    found["unshare -U"] = outcome(lambda: call(NUMBERS["unshare"][ARM], NEWUSER))
    found["clone(CLONE_NEWUSER)"] = outcome(clone_user_namespace)
    for family, number in (
        ("VSOCK", 40),
        ("ALG", 38),
        ("PACKET", 17),
        ("KEY", 15),
        ("TIPC", 30),
        ("XDP", 44),
    ):
        found[f"socket(AF_{family})"] = outcome(lambda number=number: call(198 if ARM else 41, number, 1, 0))  # type: ignore[misc]
    for uid in (0, 10002):
        found[f"setuid({uid})"] = outcome(lambda uid=uid: os.setuid(uid))  # type: ignore[misc]
    found["chroot"] = outcome(lambda: os.chroot("/"))
    return found


def of_own() -> dict[str, str]:
    """What an agent's debuggers and servers need."""
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        found = {"own child: ptrace": outcome(lambda: attach(child))}
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    for family, number in (("UNIX", 1), ("INET", 2), ("INET6", 10)):
        found[f"socket(AF_{family})"] = outcome(lambda number=number: call(198 if ARM else 41, number, 1, 0))  # type: ignore[misc]
    found["socket(AF_NETLINK)"] = outcome(lambda: call(198 if ARM else 41, 16, 3, 0))
    return found


def main() -> None:
    server = int(Path("/proc/1/task/1/children").read_text().split()[0])
    tried = {
        "refused": {**of_process("tini", 1), **of_process("server", server), **of_kernel()},
        "allowed": of_own(),
    }
    json.dump(tried, sys.stdout)


if __name__ == "__main__":
    main()
