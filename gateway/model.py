"""What the gateway talks about: sessions, messages, runs and their states. Frozen data; times are epoch seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")


class RunState(StrEnum):
    """The life of a run: `queued → pending → running → completed | failed | stopped | lost`.

    `queued` waits behind the session's active run; `pending` is active and not yet known to run;
    a queued or pending run may also end at once (`stopped`, `failed`, `lost`). Final states never change.
    """

    QUEUED = "queued"
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    LOST = "lost"

    @property
    def final(self) -> bool:
        """Whether the run has ended."""
        return self in _FINAL


_FINAL = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.STOPPED, RunState.LOST})
_AT_ONCE = frozenset({RunState.FAILED, RunState.STOPPED, RunState.LOST})

TRANSITIONS: Final[Mapping[RunState, frozenset[RunState]]] = MappingProxyType(
    {
        RunState.QUEUED: _AT_ONCE | {RunState.PENDING},
        RunState.PENDING: _AT_ONCE | {RunState.RUNNING},
        RunState.RUNNING: _FINAL,
        **dict.fromkeys(_FINAL, frozenset[RunState]()),
    }
)
"""Every legal change of a run's state; the store's conditions are made from it."""


class OnBusy(StrEnum):
    """What happens to a prompt that arrives while the session has an active run."""

    QUEUE = "queue"
    REJECT = "reject"
    INTERRUPT = "interrupt"


class Mode(StrEnum):
    """How the agent may act: `agent` does, `plan` only plans."""

    AGENT = "agent"
    PLAN = "plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One chat: its owner, its title, and which run is active. `version` counts changes (optimistic locking).
    `deleting`: it takes nothing new, and is there only until all of it is deleted. `used_at`: when somebody was last
    connected to its sandbox in another way than by a run. `egress_hosts`: what its owner lets its sandbox reach beside
    what the stack does."""

    id: str
    owner: str
    title: str
    created_at: float
    updated_at: float
    sdk_session_id: str = ""
    active_run: str | None = None
    queue: tuple[str, ...] = ()
    version: int = 0
    deleting: bool = False
    used_at: float = 0.0
    egress_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One entry of a transcript.

    `parts` of an assistant's message, in order: `{"type": "text", "text"}` and
    `{"type": "tool", "id", "name", "input", "output"}` (`output` None while it ran). `meta`: `usage`, `costUsd`,
    `sdkSessionId`, `reason` where known; a prompt's: its `mode`.
    """

    id: str
    session: str
    role: str
    content: str
    created_at: float
    run: str = ""
    parts: tuple[dict[str, Any], ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who asks, as git names people (see author.py)."""

    name: str
    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One prompt and everything that follows from it.

    `author`: whose commits the agent makes. `recorded`: the last seq in the store, 0 when none. `own`: how many of the
    last frames a gateway wrote in place of a sandbox that could not say its end; that sandbox may have shown others of
    the same numbers. `generation`: the lease's fence; only the gateway that holds the newest generation may write
    frames or end the run. `lease_until`: when the lease runs out (0: nobody's). `takeovers`: how many recorders that
    took it over have read of its sandbox since the last new frame. `seal`: of the gateway that admitted it (see
    `runs.recording.seal`).
    """

    id: str
    session: str
    owner: str
    message: str
    state: RunState
    mode: Mode
    cwd: str
    created_at: float
    author: Author | None = None
    recorded: int = 0
    own: int = 0
    generation: int = 0
    lease_owner: str = ""
    lease_until: float = 0.0
    takeovers: int = 0
    stop_requested: bool = False
    reason: str = ""
    seal: str = ""

    @property
    def shared(self) -> int:
        """The last seq up to which whoever has read this run has read what is recorded."""
        return self.recorded - self.own


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A prompt that asks to become a run. `message` is the client's messageId (or ours) and makes it idempotent."""

    id: str
    session: str
    owner: str
    message: str
    prompt: str
    mode: Mode
    cwd: str
    created_at: float
    author: Author | None = None
    seal: str = ""


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of a `NewRun`: `position` 0 is active, 1 the first in the queue; `duplicate`: it was known already
    (then `run` is the run of the first time). `active`: the run that was active when a queued one was admitted."""

    run: Run
    position: int
    duplicate: bool = False
    active: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a listing; `cursor` asks for the next one, None when there is none."""

    items: tuple[T, ...]
    cursor: str | None = None
