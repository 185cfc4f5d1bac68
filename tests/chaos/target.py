"""What chaos is let loose on: the `Target` protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
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
