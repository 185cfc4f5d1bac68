"""What the plan takes for granted: how people work, and what was measured. All else follows from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.config import Settings
from gateway.runs.recording.intake import FLUSH_SECONDS
from gateway.store.keys import OPEN_SHARDS

SETTINGS = Settings(stack="scale", jwt_secret="-", sandbox_secret="-", credential_key="-")
"""The gateway's defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Seconds, unless a name says otherwise. `sessions` are live at once: each has a sandbox that runs.

    The first block is how people work: an assumption, to be replaced by your own figures. The second was measured
    (docs/performance.md, docs/reliability.md) or is a default of the gateway's.
    """

    users: int = 1_000_000
    sessions: int = 100_000
    active: float = 1800.0
    """From a session's first prompt to its last one, on average; then its sandbox idles until it is reaped."""
    run: float = 60.0
    think: float = 180.0
    """From the end of a run to the next prompt."""
    streaming: float = 0.5
    """Share of a run in which frames come; in the rest of it tools run and the model thinks."""
    frame_bytes: int = 200
    frames_per_second: float = 30.0
    prompt_bytes: int = 600
    answer_bytes: int = 6_000
    visible: float = 0.5
    """Pages that somebody looks at, for each live session: a hidden one asks for nothing."""
    listed: int = 50
    """Sessions of a page of the list, which a visible page looks at every 15 s."""

    idle: float = SETTINGS.idle_minutes * 60
    lease: float = SETTINGS.lease_seconds
    flush: float = FLUSH_SECONDS
    sandbox_start: float = 40.0
    """RunTask to a sandbox that answers, on Fargate: 30 to 60 s."""
    gateway_cpus: float = 1.0
    store_calls: float = 500.0
    """Calls of the table a second by one core through boto3: 430 to 720 measured, and nothing else is done then."""
    attach_cpu: float = 0.011
    """Processor time of one reader that comes back, its ticket included: 2.2 s for 200 that share nothing."""
    connections: int = SETTINGS.connections
    sandbox_cpus: float = 1.0
    zones: int = 3
    headroom: float = 0.6
    """What a part is loaded with at most, when nothing is wrong."""

    shards: int = OPEN_SHARDS
    """Partitions of the index of open runs."""
    shared_looks: bool = False
    """Whether the gateways share the sandboxes that their reapers look at, and ask for a hundred at a time; else each
    looks at all of them, one at a time."""
    counted_places: bool = False
    """Whether running sandboxes are counted by user, and not from the driver's list at each start."""
    whole_entries: bool = False
    """Whether an entry of a user's list holds all that is listed; else each session's META is read."""

    def changed(self) -> Plan:
        """The same plan with the changes that docs/scale.md asks for."""
        return replace(self, shared_looks=True, counted_places=True, whole_entries=True)

    @property
    def life(self) -> float:
        """Of a sandbox, from its start until it is reaped."""
        return self.active + self.idle

    @property
    def starts(self) -> float:
        """Sandboxes that are started in a second (Little's law)."""
        return self.sessions / self.life

    @property
    def prompts(self) -> float:
        """Prompts in a second. A visit begins with one; after it another comes with the chance that a run and a pause,
        both exponential, end before the visit does (the product of their Laplace transforms)."""
        another = 1 / (1 + self.run / self.active) / (1 + self.think / self.active)
        return self.starts / (1 - another)

    @property
    def runs(self) -> float:
        """Runs that are on at once (Little's law)."""
        return self.prompts * self.run

    @property
    def appends(self) -> float:
        """Groups of frames that the recorders write in a second."""
        return self.runs * self.streaming / self.flush
