"""What is tried from within a sandbox: a script that needs nothing but the standard library and is run there.

It reads a JSON object with the probe's name and what it must know, and prints a JSON list of what could be done: one
sentence each, none where the wall held. Every probe is bounded in time and undoes what it did.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import errno
import json
import os
import re
import socket
import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

CONNECT_SECONDS = 1.0
AT_ONCE = 64
LIBC = ctypes.CDLL(None, use_errno=True)
HOLD_FILES = ("/home", "/workspace", "/tmp", "/run", "/etc", "/opt/vaporforge", "/var")
OF_THE_HOST = (
    "/proc/kcore",
    "/proc/kmsg",
    "/proc/keys",
    "/dev/mem",
    "/dev/kmsg",
    "/proc/timer_list",
    "/proc/kallsyms",
)
SOCKETS = ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock")
BLOCKED = (errno.EPERM, errno.EACCES, errno.ENOSYS)

NUMBERS = {
    "x86_64": {
        "ptrace": 101, "unshare": 272, "io_uring_setup": 425, "userfaultfd": 323, "keyctl": 250, "add_key": 248,
        "bpf": 321, "perf_event_open": 298, "mount": 165, "fsopen": 430, "open_tree": 428, "setns": 308,
        "kexec_load": 246, "init_module": 175, "pidfd_open": 434, "pidfd_getfd": 438, "process_vm_readv": 310,
        "open_by_handle_at": 304,
    },
    "aarch64": {
        "ptrace": 117, "unshare": 97, "io_uring_setup": 425, "userfaultfd": 282, "keyctl": 219, "add_key": 217,
        "bpf": 280, "perf_event_open": 241, "mount": 40, "fsopen": 430, "open_tree": 428, "setns": 268,
        "kexec_load": 104, "init_module": 105, "pidfd_open": 434, "pidfd_getfd": 438, "process_vm_readv": 270,
        "open_by_handle_at": 265,
    },
}  # fmt: skip
"""The kernel's numbers of its calls (arch/*/syscalls.tbl, asm-generic/unistd.h)."""


def reached(order: dict[str, Any]) -> list[str]:
    """`targets`: `[[name, host, port], …]` that must not take a connection."""

    def tried(target: tuple[str, str, int]) -> str:
        name, host, port = target
        with contextlib.suppress(OSError), socket.create_connection((host, port), CONNECT_SECONDS):
            return f"reached {name} at port {port}"
        return ""

    return _each(tried, order["targets"])


def named(order: dict[str, Any]) -> list[str]:
    """`names` that must not be known here, `addresses` whose names must not be told."""

    def resolved(name: str) -> str:
        with contextlib.suppress(OSError):
            return f"{name} is {socket.gethostbyname(name)}"
        return ""

    def told(address: str) -> str:
        with contextlib.suppress(OSError):
            return f"{address} is called {socket.gethostbyaddr(address)[0]}"
        return ""

    return _each(resolved, order["names"]) + _each(told, order["addresses"])


def kernel(order: dict[str, Any]) -> list[str]:
    """Calls that have led out of containers, each as harmless as it can be made where it is refused."""
    if order.get("uid", os.geteuid()) == 0:
        sys.exit("the kernel's calls are tried as a user without rights: root would be taken at its word")
    machine = NUMBERS[os.uname().machine]
    buffer = ctypes.create_string_buffer(256)
    calls: dict[str, tuple[Any, ...]] = {
        "io_uring_setup": (1, buffer),
        "userfaultfd": (0,),
        "keyctl": (0, -3, 1),
        "add_key": (b"user", b"vf", b"x", 1, -3),
        "bpf": (0, buffer, 64),
        "perf_event_open": (buffer, 0, -1, -1, 0),
        "mount": (b"none", b"/tmp", b"tmpfs", 0, None),
        "fsopen": (b"tmpfs", 0),
        "open_tree": (-100, b"/", 1),
        "kexec_load": (0, 0, None, 0),
        "init_module": (buffer, 0, b""),
        "open_by_handle_at": (-100, buffer, 0),
    }
    could = [name for name, arguments in calls.items() if _call(machine[name], *arguments) not in BLOCKED]
    # A process of its own, for a namespace is not left again.
    could += [
        f"unshare({name})"
        for name, flag in (("user", 0x10000000), ("mount", 0x20000), ("net", 0x40000000), ("pid", 0x20000000))
        if _in_child(lambda flag=flag: _call(machine["unshare"], flag) == 0)  # type: ignore[misc]
    ]
    for name, family, kind in (
        ("AF_VSOCK", getattr(socket, "AF_VSOCK", 40), socket.SOCK_STREAM),
        ("AF_PACKET", getattr(socket, "AF_PACKET", 17), socket.SOCK_RAW),
        ("raw IP", socket.AF_INET, socket.SOCK_RAW),
        ("AF_ALG", getattr(socket, "AF_ALG", 38), socket.SOCK_SEQPACKET),
    ):
        with contextlib.suppress(OSError), socket.socket(family, kind):
            could.append(f"a socket of {name}")
    return [f"the kernel takes {name}" for name in could]


def processes(order: dict[str, Any]) -> list[str]:
    """Other users' processes: `pids` by name (1, the agent server): their memory, environment, files, and a trace."""
    machine = NUMBERS[os.uname().machine]
    could = []
    for pid in sorted({1, *(int(pid) for pid in order.get("pids", []))}):
        folder = Path(f"/proc/{pid}")
        if not folder.exists() or folder.stat().st_uid == os.getuid():
            continue
        for name in ("environ", "mem", "auxv", "maps"):
            with contextlib.suppress(OSError), (folder / name).open("rb") as file:
                if name == "mem" or file.read(1):
                    could.append(f"read /proc/{pid}/{name}")
        with contextlib.suppress(OSError):
            if list((folder / "fd").iterdir()):
                could.append(f"read /proc/{pid}/fd")
        with contextlib.suppress(OSError):
            os.kill(pid, 0)
            could.append(f"signal process {pid}")
        if _call(machine["ptrace"], 0x4206, pid, None, None) == 0:  # PTRACE_SEIZE stops nobody
            could.append(f"trace process {pid}")
    return could


def rights(_: dict[str, Any]) -> list[str]:
    """Capabilities, ways to get some, and places that must not be written."""
    status = dict(
        line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line
    )
    could = [
        f"{name} is {status[name]}"
        for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")
        if int(status[name], 16)
    ]
    if status.get("NoNewPrivs") != "1":
        could.append("programs may gain rights (NoNewPrivs is 0)")
    if status.get("Seccomp") != "2":
        could.append("no filter of the kernel's calls")
    for root in ("/usr", "/bin", "/sbin", "/opt", "/etc", "/lib"):
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if not (Path(folder) / name).is_symlink()]
            for name in files:
                with contextlib.suppress(OSError):
                    mode = (Path(folder) / name).lstat().st_mode
                    if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                        could.append(f"{folder}/{name} is setuid or setgid")
    for place in (
        "/",
        "/etc",
        "/opt/vaporforge",
        "/opt/venv",
        "/proc/sys/kernel",
        "/sys",
        "/sys/fs/cgroup",
        "/dev",
    ):
        file = Path(place) / f"vf-{os.getpid()}"
        with contextlib.suppress(OSError):
            file.touch()
            file.unlink()
            could.append(f"write into {place}")
    could += [f"read {file}" for file in OF_THE_HOST if _tells(file)]
    with contextlib.suppress(OSError):
        os.close(os.open("/proc/sysrq-trigger", os.O_WRONLY))
        could.append("write to /proc/sysrq-trigger")
    could += [f"there is {path}" for path in SOCKETS if Path(path).exists()]
    return could


def secrets(order: dict[str, Any]) -> list[str]:
    """`values`: by name, what must be nowhere that can be read here: files, environments, command lines."""
    values = {name: value.encode() for name, value in order["values"].items()}
    own = str(os.getpid())
    could: set[str] = set()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or process.name == own:
            continue
        for name in ("environ", "cmdline"):
            with contextlib.suppress(OSError):
                _look(values, (process / name).read_bytes(), f"{process}/{name}", could)
    for root in order.get("roots", HOLD_FILES):
        for folder, _, files in os.walk(root):
            for name in files:
                file = Path(folder) / name
                with contextlib.suppress(OSError):
                    if stat.S_ISREG(file.lstat().st_mode) and file.stat().st_size < 4_000_000:
                        _look(values, file.read_bytes(), str(file), could)
    return sorted(could)


def asked(order: dict[str, Any]) -> list[str]:
    """`requests`: `[[name, raw, [statuses]], …]` to `host`:`port`; the first line of each answer must have one of the
    statuses, or there is none."""

    def tried(request: tuple[str, str, list[int]]) -> str:
        name, raw, fine = request
        answer = b""
        with (
            contextlib.suppress(OSError),
            socket.create_connection((order["host"], order["port"]), 5.0) as peer,
        ):
            peer.settimeout(8.0)
            peer.sendall(raw.encode("latin-1"))
            while b"\r\n" not in answer and (more := peer.recv(4096)):
                answer += more
        found = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
        if found is None or int(found[1]) in fine:
            return ""
        return f"{name} was answered {int(found[1])}"

    return _each(tried, order["requests"])


def _tells(path: str) -> bool:
    """Whether anything of it can be read; what the engine masked opens, and is empty."""
    with contextlib.suppress(OSError):
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return bool(os.read(opened, 1))
        finally:
            os.close(opened)
    return False


def _look(values: dict[str, bytes], content: bytes, where: str, could: set[str]) -> None:
    could.update(f"{name} is in {where}" for name, value in values.items() if value in content)


def _each(tried: Callable[[Any], str], what: Iterable[Any]) -> list[str]:
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return [said for said in pool.map(tried, what) if said]


def _call(number: int, *arguments: Any) -> int:
    """A call of the kernel's: 0 where it was taken, else its errno. What it opened is closed with this process."""
    ctypes.set_errno(0)
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    done = LIBC.syscall(ctypes.c_long(number), *wide)
    return 0 if done >= 0 else ctypes.get_errno()


def _in_child(work: Callable[[], bool]) -> bool:
    pid = os.fork()
    if pid == 0:
        os._exit(0 if work() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


PROBES = {probe.__name__: probe for probe in (reached, named, kernel, processes, rights, secrets, asked)}

if __name__ == "__main__":
    order = json.loads(sys.stdin.read())
    json.dump(PROBES[order["probe"]](order), sys.stdout)
