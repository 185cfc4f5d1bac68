"""Drivers: how the sandboxes of sessions are started, found and stopped. The `Driver` protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class SandboxState(StrEnum):
    """What a driver knows of a sandbox."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"
    """It ended, by itself or by `stop`; its volumes are there, `ensure` wakes it."""
    ABSENT = "absent"
    """Nothing is known of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A session's sandbox as its driver sees it. `host` and `port`: where its agent server answers, when running.
    `started_at`: epoch seconds. `lost_reason`: why it ended by itself (`oom`, `killed`, `exited`), else empty.
    `fresh`: whether it was empty and unused when `ensure` looked; nobody else tells."""

    session: str
    state: SandboxState
    host: str = ""
    port: int = 0
    started_at: float = 0.0
    lost_reason: str = ""
    fresh: bool = field(default=False, compare=False)

    @property
    def url(self) -> str:
        """The base URL of its agent server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class Driver(Protocol):
    """Starts and stops sandboxes; finds them again after a restart of the gateway (it keeps no state of its own).

    | call | absent | starting | running | stopped |
    | --- | --- | --- | --- | --- |
    | `ensure` | starts it | waits | returns it | starts it again, same volumes |
    | `status` | ABSENT | STARTING | RUNNING | STOPPED, with `lost_reason` |
    | `stop` | success | stops it | stops it (bounded: TERM, then KILL) | success |
    | `delete` | success | stops it, deletes its volumes | the same | deletes its volumes |

    `ensure` called side by side for one session, in one process or several, starts one sandbox. It returns only when
    the agent server answers `/ping`. Raises `errors.SandboxUnavailable` (with a reason) within its time limit.
    """

    async def ensure(self, session: str) -> Sandbox: ...

    async def status(self, session: str) -> Sandbox: ...

    async def stop(self, session: str) -> None: ...

    async def delete(self, session: str) -> None: ...

    async def list(self) -> Sequence[Sandbox]:
        """Every sandbox of this stack that is not absent."""

    async def close(self) -> None:
        """Release connections; sandboxes go on running. May be called twice."""
