"""Drivers: how the sandboxes of sessions are started, found and stopped. The `Driver` protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from container.protocol import LOSS_ERRORS

LOSSES: Final = frozenset({"oom", "spot", "killed", "exited", "gone", *LOSS_ERRORS})
"""Why a sandbox may have ended by itself: out of memory, taken back by AWS, by a signal, by itself, unknown; or for
what it wrote to the disk."""


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
    `started_at`: epoch seconds. `lost_reason`: why it ended by itself (`oom`, `spot`, `killed`, `exited`, `gone`), else
    empty. `fresh`: whether it was empty and unused when `ensure` looked, and `lost_before`: why the one before it ended
    by itself, if it did; nobody else tells these. `start`: a name of this start, another for each, which the sandbox
    was told; empty where it was started without, and where a session has just claimed it."""

    session: str
    state: SandboxState
    host: str = ""
    port: int = 0
    started_at: float = 0.0
    lost_reason: str = ""
    fresh: bool = field(default=False, compare=False)
    lost_before: str = field(default="", compare=False)
    start: str = field(default="", compare=False)

    @property
    def url(self) -> str:
        """The base URL of its agent server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@runtime_checkable
class TellsPhase(Protocol):
    """What a driver may be too, whose starts take long."""

    def phase(self, session: str) -> str:
        """What the start that is waited for here is at: the `phase` of a `status` frame; empty when none is."""


@runtime_checkable
class Joins(Protocol):
    """What a driver may be too, whose sandboxes are on networks of their own."""

    async def join(self) -> None:
        """Have this process put on the networks of the sandboxes that there are: it has just started. Bounded, and
        without an error: `ensure` sees to a single one's."""


def always() -> bool:
    """Every start is named."""
    return True


@runtime_checkable
class NamesStarts(Protocol):
    """A driver that names each start of a sandbox (`Sandbox.start`), so that its agent's key dies with it. It asks
    `names_starts` whether to: in an update gateways of before, which do not know such keys, still answer agents."""

    names_starts: Callable[[], bool]


def phase_of(driver: Driver, session: str) -> str:
    """See `TellsPhase`; empty too of a driver that does not tell."""
    return driver.phase(session) if isinstance(driver, TellsPhase) else ""


class Driver(Protocol):
    """Starts and stops sandboxes; finds them again after a restart of the gateway (it keeps no state of its own).

    | call | absent | starting | running | stopped |
    | --- | --- | --- | --- | --- |
    | `ensure` | starts it | waits | returns it | starts it again, same volumes |
    | `status` | ABSENT | STARTING | RUNNING | STOPPED, with `lost_reason` |
    | `stop` | success | stops it | stops it (bounded: TERM, then KILL) | success |
    | `delete` | success | stops it, deletes its volumes | the same | deletes its volumes |

    A driver without volumes (`ecs`) starts each sandbox fresh, and tells STOPPED as long as it knows why one ended.

    `ensure` called side by side for one session, in one process or several, starts one sandbox. It returns only when
    the agent server answers `/ping`. Raises `errors.SandboxUnavailable` (with a reason) within its time limit,
    `SandboxUnstartable` at once where waiting does not help.
    """

    async def ensure(self, session: str) -> Sandbox: ...

    async def status(self, session: str) -> Sandbox: ...

    async def stop(self, session: str) -> None: ...

    async def delete(self, session: str) -> None: ...

    async def list(self) -> Sequence[Sandbox]:
        """Every sandbox of this stack that is not absent; without volumes only those that start or run."""

    async def close(self) -> None:
        """Release connections; sandboxes go on running. May be called twice."""


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk that a driver's sandboxes write to. `low`: it has less free than its reserve. `over`: sessions with more
    than their quota. The rest in bytes, and inodes; 0 where it is not known."""

    low: bool = False
    free_bytes: int = 0
    reserve_bytes: int = 0
    free_inodes: int = 0
    reserve_inodes: int = 0
    over: int = 0


@runtime_checkable
class Empties(Protocol):
    """What a driver around others is, which knows more of a session than its sandbox and its volumes."""

    async def empty(self, session: str) -> None:
        """As `Driver.delete`, but the session stays, and starts anew with nothing."""


async def empty(driver: Driver, session: str) -> None:
    """End the session's sandbox and delete its files; `ensure` then starts it with none. Raises as `Driver.delete`."""
    await (driver.empty(session) if isinstance(driver, Empties) else driver.delete(session))


@runtime_checkable
class TellsDisk(Protocol):
    """What a driver may be too, whose sandboxes share a disk."""

    async def disk(self) -> Disk:
        """How the disk is now. Raises `errors.SandboxUnavailable`."""


@runtime_checkable
class Poolable(Driver, Protocol):
    """A driver whose sandboxes may be started before it is known whose they are: under a member's id
    (`POOL_PREFIX`), which a session's claim of the agent server then replaces."""

    async def ensure(self, session: str, *, occupant: str = "") -> Sandbox:
        """As `Driver.ensure`. `occupant`: the session that may have claimed this sandbox; the answer's `session` is
        who it says that it is. One that was started again since is a member that nobody has claimed."""

    async def fingerprint(self) -> str:
        """Changes with whatever a sandbox that is started now would be: image, limits, networks, agent, secret. Raises
        `errors.SandboxUnavailable`."""
