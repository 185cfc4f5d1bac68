"""System calls that the agent server gives up, for itself and for all that it starts (seccomp(2)).

What the kernel offers to administrators, and what has been a way out of containers again and again. On docker the
stack's own profile allows less than this leaves (gateway/launcher/seccomp.json); elsewhere, as on Fargate, nobody can
give one, and this is what there is.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final, NamedTuple

REFUSED: Final = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "listmount": (458, 458),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "statmount": (457, 457),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
"""By their numbers on x86_64 and aarch64 (asm/unistd.h)."""

FAMILIES: Final = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: others have no sockets. AF_VSOCK's lead to a virtual machine's host."""

NAMESPACES: Final = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""


class _Machine(NamedTuple):
    """`at`: its place in REFUSED. `audit`: its name in linux/audit.h. `foreign`: from where on its numbers are another
    calling convention's."""

    at: int
    audit: int
    clone: int
    clone3: int
    socket: int
    foreign: int


_MACHINES: Final = {
    "x86_64": _Machine(0, 0xC000003E, 56, 435, 41, 0x40000000),
    "aarch64": _Machine(1, 0xC00000B7, 220, 435, 198, 0xFFFFFFFF),
}

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""Instructions of linux/bpf_common.h: of a word, comparisons with a constant, the end."""

_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
"""Places in `struct seccomp_data`."""

_KILL, _ERROR, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_SET_SECCOMP, _MODE_FILTER = 22, 2


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("yes", ctypes.c_uint8),
        ("no", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def refuse() -> None:
    """Refuse them from now on, with EPERM, and programs of other architectures (32-bit ones) whole. The process must
    have given up new privileges. Raises OSError."""
    code = [_Instruction(*each) for each in _filter(_MACHINES[os.uname().machine])]
    program = _Program(len(code), (_Instruction * len(code))(*code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), ctypes.byref(program), 0, 0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _filter(machine: _Machine) -> list[tuple[int, int, int, int]]:
    """`(code, jump if so, jump if not, value)`. `clone3` is answered with ENOSYS: its flags are in memory, where no
    filter sees them, and C libraries use `clone` then."""
    refused, done = (_RETURN, 0, 0, _ERROR | errno.EPERM), (_RETURN, 0, 0, _ALLOW)
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, machine.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, machine.foreign),
        refused,
        (_EQUAL, 0, 1, machine.clone3),
        (_RETURN, 0, 0, _ERROR | errno.ENOSYS),
    ]
    for numbers in REFUSED.values():
        code += [(_EQUAL, 0, 1, numbers[machine.at]), refused]
    code += [
        (_EQUAL, 0, 4, machine.clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 0, 1, NAMESPACES),
        refused,
        done,
        (_EQUAL, 1, 0, machine.socket),
        done,
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
    ]
    for family in FAMILIES:
        code += [(_EQUAL, 0, 1, family), done]
    return [*code, refused]
