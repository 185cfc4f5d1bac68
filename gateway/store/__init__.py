"""The store: what must outlive browsers, gateways and sandboxes. The `Store` protocol and its errors.

Everything that must happen once is a conditional write; nothing here reads and then writes on hope.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from gateway.model import Admission, Message, NewRun, OnBusy, Page, Run, RunState, Session
from gateway.store.audit import AuditRows
from gateway.store.keyring import CredentialKeys
from gateway.store.pool import PoolRows
from gateway.store.quotas import Allowance, Claim, Crowd, Held, Rate, Reached
from gateway.store.usage import UsageRows


class Store(Protocol):
    """Sessions, messages, runs, frames, tickets and settings.

    Every method may raise `errors.StoreUnavailable` (throttled or away after bounded retries; nothing is known of
    the outcome, and every method may be called again with the same arguments without doing its work twice).
    A missing session raises `errors.SessionNotFound`, a missing run `errors.RunNotFound`.
    """

    async def open(self) -> None:
        """Connect; create the table when the settings say so (DynamoDB Local). Raises when it is not usable."""

    async def close(self) -> None:
        """Release threads and sockets. May be called twice."""

    @property
    def throttles(self) -> int:
        """Requests that the store refused as too many, since it was opened; each was made again."""

    @property
    def pool(self) -> PoolRows:
        """The pool of sandboxes, and where each session's is."""

    @property
    def audit(self) -> AuditRows:
        """The chain of what was done by whom."""

    @property
    def usage(self) -> UsageRows:
        """What the model's API has been used for."""

    @property
    def starts_named_since(self) -> float:
        """From when on drivers name the starts of sandboxes (epoch seconds): by then no gateway runs that does not know
        the keys that are made of them."""

    async def ping(self) -> None:
        """One cheap read; raises when the store cannot serve."""

    async def born_at(self) -> float:
        """When this store began, in epoch seconds. What is older is not of this store, though it may be found near it:
        a session that is not here and older belongs to another one, and is nobody's to delete."""

    # -- sessions --
    async def create_session(self, session: Session) -> Session:
        """Put a new session; the same id and owner again returns what is there."""

    async def get_session(self, session: str) -> Session:
        """A strongly consistent read."""

    async def list_sessions(self, owner: str, *, limit: int = 50, cursor: str | None = None) -> Page[Session]:
        """The owner's sessions by their last use (`Session.updated_at`), newest first; paged in that very order. One
        that is used while somebody pages may now be on a page that was read already; none is twice on a page."""

    async def rename_session(self, session: str, title: str) -> Session: ...

    async def set_sdk_session(self, session: str, sdk_session_id: str) -> None: ...

    async def allow_host(self, session: str, host: str, *, most: int) -> Session:
        """Add to `Session.egress_hosts`; again is success. Raises `errors.SessionNotFound`, `SessionGone`, and
        `Conflict` where there are `most` of them."""

    async def disallow_host(self, session: str, host: str) -> Session:
        """Take it out of `Session.egress_hosts`; again is success. Raises `errors.SessionNotFound`, `SessionGone`."""

    async def use_session(self, session: str) -> None:
        """Note that its sandbox is in use now (`Session.used_at`); nothing for a session that is gone."""

    async def begin_delete(self, session: str) -> None:
        """Mark the session as `deleting`: from then on it takes nothing new (`errors.SessionGone`). Again, or for what
        is gone, is success."""

    async def delete_session(self, session: str) -> None:
        """`begin_delete`, then delete every item of the session, itself last; calling it again finishes what was cut
        short. Deleting what is gone is success."""

    # -- messages --
    async def put_message(self, message: Message) -> bool:
        """Put by id; False, and nothing changed, when a message of that id is there already."""

    async def list_messages(
        self, session: str, *, limit: int = 100, cursor: str | None = None, newest: bool = False
    ) -> Page[Message]:
        """The transcript in order of creation (newest first with `newest`), large items joined again. A page ends early
        where its messages are large together (about 8 MB)."""

    async def get_message(self, session: str, message: str) -> Message | None: ...

    # -- runs --
    async def create_run(
        self,
        new: NewRun,
        *,
        on_busy: OnBusy,
        queue_limit: int,
        gateway: str,
        lease_seconds: float,
        allowance: Allowance | None = None,
    ) -> Admission:
        """Admit a prompt, in one transaction: the user's message, the run, and its place in the session.

        Idle session: the run is `pending`, active, its lease held by `gateway` at generation 1. Busy: `queued` at the
        queue's end (`queue`), or at its head (`interrupt`; the caller asks the active run to stop), or
        `errors.SessionBusy` (`reject`), or `errors.QueueFull`. A message id that was used before returns the run of
        that time, `duplicate` set (the same `NewRun` again is not its own duplicate), or raises `errors.Conflict`
        when that message started no run.

        `allowance` is taken beside the first read, and given back unless a run came of it: a message that is known
        costs nothing, and is answered also where the allowance refuses (`errors.RateLimited`). A crash, or a store
        that goes away in between, costs one unit.
        """

    async def get_run(self, session: str, run: str) -> Run:
        """A strongly consistent read."""

    async def list_runs(self, session: str, *, limit: int = 50, cursor: str | None = None) -> Page[Run]:
        """The session's runs, newest first (by id)."""

    async def take_lease(self, run: Run, *, gateway: str, lease_seconds: float, now: float) -> Run | None:
        """Take over a pending or running run whose lease ran out (`lease_until < now`) or is ours already; the
        generation goes up by one. None when another was first, or it has ended."""

    async def renew_lease(self, run: Run, *, lease_seconds: float, now: float) -> Run | None:
        """Extend a lease that we hold (by generation). None: it is no longer ours. Returns the run as it is now
        (with `stop_requested`)."""

    async def release_lease(self, run: Run) -> None:
        """Give the lease back so that a sweeper may take it at once; success when it was not ours any more. A gateway
        that does so in good order was not harmed by the run: its takeovers are forgotten."""

    async def set_takeovers(self, run: Run, count: int) -> Run | None:
        """Set `Run.takeovers`, fenced by the generation; new frames set it back to 0. None: the lease is not ours."""

    async def mark_running(self, run: Run) -> Run | None:
        """`pending → running`, fenced by the generation; already running is success. None: the lease is not ours."""

    async def append_frames(
        self, run: Run, *, first: int, last: int, frames: bytes, own: bool = False
    ) -> Run | None:
        """Store frames `first..last` (whole frames, one a line, each ended by a newline) behind `run.recorded`
        (`first == recorded + 1`), fenced by generation and `recorded`, split over items where they are large; frames
        that this lease has stored already are left out. `own`: they are the gateway's own, the run's last ones
        (`Run.own`). Raises `ValueError` for other frames than it was told. Returns the run with the new `recorded`;
        None when the lease is not ours any more."""

    async def finish_run(
        self,
        run: Run,
        *,
        state: RunState,
        reason: str,
        message: Message | None,
        gateway: str,
        lease_seconds: float,
    ) -> tuple[Run, Run | None] | None:
        """End a run, fenced: its final state, the assistant's message, the session's `sdk_session_id` (from
        `message.meta["sdkSessionId"]`), and the next queued run made pending with its lease held by `gateway`; one
        transaction. Returns (the ended run, the promoted run or None); None when the lease is not ours any more.
        A run that has already ended with the same generation is success. In a session that is being deleted only the
        run ends. Raises `errors.Conflict` where `model.TRANSITIONS` does not allow the state."""

    async def request_stop(self, session: str, run: str) -> Run:
        """Set `stop_requested`. A queued run leaves the queue and is `stopped` at once, its frames (`run`,
        `process-exit`) written. A run that has ended is returned as it is."""

    async def expired_runs(self, *, now: float, limit: int = 25) -> Sequence[Run]:
        """Pending and running runs of every session whose lease ran out, oldest first (from the index; a hint only:
        `take_lease` decides)."""

    def read_frames(self, session: str, run: str, *, after: int = 0) -> AsyncIterator[bytes]:
        """The recorded frames with seq > `after`, in order, as chunks of whole lines (strongly consistent). Raises
        `errors.RunNotFound` where some of them have expired: a run may last longer than its first frames are kept."""

    # -- tickets and settings --
    async def put_ticket(self, ticket: str, claims: dict[str, Any], *, expires_at: float) -> None: ...

    async def take_ticket(self, ticket: str, *, now: float) -> dict[str, Any] | None:
        """Use a ticket: its claims the first time, None ever after, and None past its time."""

    async def get_settings(self, owner: str) -> dict[str, Any]:
        """The user's settings; {} when none were put."""

    async def put_settings(self, owner: str, settings: dict[str, Any]) -> None: ...

    async def replace_settings(self, owner: str, found: dict[str, Any], settings: dict[str, Any]) -> bool:
        """Put settings in the place of those that `get_settings` gave; False, and nothing changed, when they are others
        by now."""

    async def credential_keys(self, *names: str) -> CredentialKeys:
        """What users' credentials are encrypted with; keys of these names are among them, if there are such."""

    # -- rates and quotas --
    async def count(
        self, rate: Rate, amounts: Mapping[str, int], *, now: float, always: bool = False
    ) -> Reached | None:
        """Add `amounts` (by unit) to all of the rate's limits, or to none and say which limit is in the way; a unit
        that is not added must have room for one more. However many ask at once, a limit is met exactly. `always`:
        count what has happened already, past any limit. An answer that was lost may be counted twice, never less than
        once."""

    async def give_back(self, rate: Rate, amounts: Mapping[str, int], *, counted_at: float) -> None:
        """Take back what `count` added at `counted_at`."""

    async def held_by(self, owner: str, *, most: int = 0, stored: int = 0) -> Held:
        """What the owner has, counted anew from the sessions themselves: no counter that could drift. Counting may end
        where there are `most` sessions, or `stored` bytes are kept; 0 is no end."""

    async def set_stored(self, session: str, size: int) -> None:
        """How many bytes are kept for a session outside the table; one that is gone is none of ours."""

    async def owners(self, sessions: Sequence[str]) -> dict[str, str]:
        """The owner of each of these sessions that is there."""

    async def claim_place(self, claim: Claim, *, now: float) -> Crowd | None:
        """Hold a place for a sandbox that is about to be started, until `claim.until`; a session's own place again is
        success. Places are those of `claim.running` and those that others hold; who is in the way when there are too
        many. However many ask at once, no more are given than there are."""

    async def release_place(self, session: str) -> None:
        """Let go of a place that was claimed; none is success."""
