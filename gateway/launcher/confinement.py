"""What a sandbox may ask the kernel for, and what it is not shown of it; ours, whatever the engine's age."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Final

_PROFILE: Final = Path(__file__).with_name("seccomp.json")

MASKED: Final = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/cmdline",
    "/proc/config.gz",
    "/proc/interrupts",
    "/proc/iomem",
    "/proc/ioports",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/modules",
    "/proc/pagetypeinfo",
    "/proc/sched_debug",
    "/proc/schedstat",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/softirqs",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
    "/sys/devices/virtual/dmi",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/hypervisor",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
    "/sys/module",
)
"""Empty in a sandbox: what the engines of today hide, and what else tells of the host, its kernel and its other work
and is of no use to programs. A path that a kernel does not have is passed over."""


@cache
def seccomp_profile() -> str:
    """The system calls that a sandbox may make, as the engine takes them (its document, Seccomp security profiles).

    A list of those allowed: the engine's own of today without io_uring, namespaces (`unshare`, `setns`, `clone` with
    their flags; `clone3` is answered with ENOSYS, on which C libraries use `clone`), mounts, keys, `userfaultfd`,
    `bpf`, `perf_event_open`, 32-bit programs, and sockets of other families than UNIX, IPv4, IPv6 and netlink.
    """
    return json.dumps(json.loads(_PROFILE.read_text("utf-8")))
