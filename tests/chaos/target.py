"""What chaos is let loose on: the `Target` protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Fault = Callable[[], Awaitable[bool]]
"""Does one fault and mends it again before it returns; False when there was nothing to do it to."""

SANDBOX_KILL = "sandbox SIGKILL"
"""Hits a sandbox in the middle of a run, surely: each one that is counted ends one run as `lost`."""

AGENT_KILL = "agent SIGKILL"
"""Ends at most one run as `failed`."""

DISK_FULL = "sandboxes' disk full"
"""May end runs as `failed`: an agent that cannot write may give up."""

Busy = Callable[[], Sequence[tuple[str, str]]]
"""The sessions and runs that are streaming at this moment."""


@dataclass(frozen=True)
class Gauge:
    """A process at one moment: open files, threads, resident memory."""

    files: int
    threads: int
    memory_mib: float

    @classmethod
    def of(cls, status: str, files: int) -> Gauge:
        """From the text of `/proc/<pid>/status` (proc(5)) and the count of `/proc/<pid>/fd`."""
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return cls(files, int(fields["Threads"]), int(fields["VmRSS"].split()[0]) / 1024)


class Target(Protocol):
    """A running VaporForge with everything that can be broken in it. `busy` is set by whoever orders the faults."""

    busy: Busy
    notes: list[str]
    """What a reader of the table must know, such as a fault that cannot be done here."""

    @property
    def faults(self) -> Mapping[str, Fault]:
        """By name, each bounded to some seconds."""

    def url(self) -> str:
        """Where to connect next: any gateway, or the proxy in front of them."""

    def token(self, user: str) -> str: ...

    async def written(self, session: str, run: str) -> list[bytes] | None:
        """The frames in the sandbox's own log of a run; None when the log was dropped or cannot be seen."""

    async def leftovers(self, sessions: Sequence[str]) -> Sequence[str]:
        """What still exists of sandboxes of these sessions: processes, containers, volumes, folders."""

    async def asleep(self, session: str) -> bool:
        """Whether no sandbox of the session runs."""

    async def gauges(self) -> Mapping[str, Gauge]:
        """By name, the services that `restart` leaves alone."""

    async def restart(self, number: int) -> None:
        """End one of the gateways, always the same, and start it again: killed and asked to go, in turn."""
