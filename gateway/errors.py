"""Errors of the gateway, each with its HTTP status, its close code and a stable code for clients.

VaporForgeError
├── BadRequest 400 ─ PayloadTooLarge 413
├── Unauthorized 401
├── Forbidden 403 ─ NotOwner, CredentialMissing, OriginRefused
├── NotFound 404 ─ SessionNotFound, RunNotFound, TerminalNotFound, BlobNotFound (gateway/blobs)
├── Conflict 409 ─ SessionBusy, QueueFull (429), SessionGone (410)
├── BudgetExceeded 402, ModelUnpriced 400
├── TooManyConnections 429
├── UnsupportedEncoding 415
├── TooMany 429 ─ RateLimited, QuotaReached, SignInsLimited
├── Changed 412
├── CursorAhead 416
├── RangeRefused 416
├── DiskFull 507
├── RunTooLarge 413
├── SandboxFaulty 502
└── Unavailable 503 ─ StoreUnavailable (StoreDamaged 500), SandboxUnavailable (SandboxRetiring,
                         SandboxUnstartable (DiskLow 507, DiskQuota 507)), Draining, BlobsUnavailable (gateway/blobs)
"""

from __future__ import annotations

import math
from typing import Any

from container.protocol import ApiError, Close


class VaporForgeError(ApiError):
    """Root of every error of the gateway."""


class BadRequest(VaporForgeError):
    """A field is missing, malformed or too long."""

    status, close, code = 400, Close.BAD_REQUEST, "bad-request"


class PayloadTooLarge(BadRequest):
    """The body is larger than the route takes."""

    status, close, code = 413, Close.TOO_BIG, "payload-too-large"


class Unauthorized(VaporForgeError):
    """No token or ticket, or one that is not valid. `guess`: what came is none of ours and never was, so that it may be
    a guess; `subject`: who it claims to be."""

    status, close, code = 401, Close.UNAUTHORIZED, "unauthorized"

    def __init__(
        self, message: str, *, field: str | None = None, guess: bool = False, subject: str = ""
    ) -> None:
        super().__init__(message, field=field)
        self.guess = guess
        self.subject = subject


class Forbidden(VaporForgeError):
    """Known, and not allowed."""

    status, close, code = 403, Close.FORBIDDEN, "forbidden"


class NotOwner(Forbidden):
    """The session is another user's."""

    code = "not-owner"


class CredentialMissing(Forbidden):
    """The agent needs a credential and neither the user nor the deployment has one."""

    code = "credential-missing"


class OriginRefused(Forbidden):
    """A browser on another site asked."""

    code = "origin-refused"


class NotFound(VaporForgeError):
    """Nothing of that name."""

    status, close, code = 404, Close.NOT_FOUND, "not-found"


class SessionNotFound(NotFound):
    """No such session."""

    code = "session-not-found"


class RunNotFound(NotFound):
    """No such run in this session."""

    code = "run-not-found"


class TerminalNotFound(NotFound):
    """No such terminal in this session (any more)."""

    code = "terminal-not-found"


class Conflict(VaporForgeError):
    """The state does not allow it now."""

    status, close, code = 409, Close.CONFLICT, "conflict"


class SessionBusy(Conflict):
    """A run is on, and the prompt asked not to wait (`onBusy=reject`)."""

    code = "session-busy"


class QueueFull(Conflict):
    """A run is on, and the session's queue is full."""

    status, code = 429, "queue-full"


class SessionGone(Conflict):
    """The session is being deleted."""

    status, close, code = 410, Close.GONE, "session-gone"


class TooManyConnections(VaporForgeError):
    """Somebody has as many connections open as may be at once."""

    status, close, code = 429, Close.TRY_AGAIN, "too-many-connections"


class UnsupportedEncoding(VaporForgeError):
    """The body is packed; nobody here unpacks one."""

    status, close, code = 415, Close.BAD_REQUEST, "unsupported-encoding"


class TooMany(VaporForgeError):
    """More than somebody may have; a client may send it again by itself. `retry_after`: seconds until the same request
    may succeed."""

    status, close, code = 429, Close.CONFLICT, "too-many"

    def __init__(self, message: str, *, retry_after: float, field: str | None = None) -> None:
        super().__init__(message, field=field)
        self.retry_after = max(1, math.ceil(retry_after))

    def body(self) -> dict[str, Any]:
        """`retryAfter` too: what is refused in a WebSocket has no headers."""
        return {**super().body(), "retryAfter": self.retry_after}


class RateLimited(TooMany):
    """Too much of it in a window of time; the next window takes it. For people: sending it again is theirs."""

    code = "rate-limited"


class QuotaReached(TooMany):
    """As much of it is there as may be at once; some of it has to go first."""

    code = "quota-reached"


class SignInsLimited(TooMany):
    """Too many sign-ins have failed, and this one too."""

    code = "sign-ins-limited"


class BudgetExceeded(VaporForgeError):
    """A budget of money is used up: told in the run's own `error` frame, and to whoever calls the model."""

    status, close, code = 402, Close.CONFLICT, "budget-exceeded"


class ModelUnpriced(VaporForgeError):
    """The model has no price, so its cost cannot be counted; told as `BudgetExceeded` is."""

    status, close, code = 400, Close.BAD_REQUEST, "model-unpriced"


class CursorAhead(VaporForgeError):
    """The cursor is past the run's last frame: continuity cannot be kept, read the run again from its start."""

    status, close, code = 416, Close.CURSOR_AHEAD, "cursor-ahead"


class Changed(VaporForgeError):
    """A file is another version than the request is about. `etag`: the one that is there, None when there is none."""

    status, close, code = 412, Close.CONFLICT, "changed"

    def __init__(self, message: str, *, etag: str | None = None, field: str | None = None) -> None:
        super().__init__(message, field=field)
        self.etag = etag

    def body(self) -> dict[str, Any]:
        """`etag` too."""
        return {**super().body(), "etag": self.etag}


class RangeRefused(VaporForgeError):
    """The file is shorter than the range that is asked for."""

    status, close, code = 416, Close.BAD_REQUEST, "range-refused"


class DiskFull(VaporForgeError):
    """The sandbox's disk does not take it."""

    status, close, code = 507, Close.CONFLICT, "disk-full"


class RunTooLarge(VaporForgeError):
    """A run has a frame, or frames together, beyond the protocol's limits: told in the run's own `error` frame."""

    status, close, code = 413, Close.TOO_BIG, "run-too-large"


class SandboxFaulty(VaporForgeError):
    """The session's sandbox breaks the protocol: told in the run's own `error` frame where it ends the run."""

    status, close, code = 502, Close.INTERNAL, "sandbox-faulty"


class Unavailable(VaporForgeError):
    """Something that the gateway needs is away; the same request may be sent again."""

    status, close, code = 503, Close.TRY_AGAIN, "unavailable"


class StoreUnavailable(Unavailable):
    """The store is throttled or away."""

    code = "store-unavailable"


class StoreDamaged(StoreUnavailable):
    """Something in the store does not open with its key; the rest does. Trying again mends nothing."""

    status, close, code = 500, Close.CONFLICT, "store-damaged"


class SandboxUnavailable(Unavailable):
    """The session's sandbox cannot be started or reached."""

    code = "sandbox-unavailable"


class SandboxRetiring(SandboxUnavailable):
    """The session's sandbox takes no queries any more: it is about to be stopped, and another will be there."""

    code = "sandbox-retiring"


class SandboxUnstartable(SandboxUnavailable):
    """No sandbox can be started before somebody mends the deployment: waiting helps nobody."""

    code = "sandbox-unstartable"


class DiskLow(SandboxUnstartable):
    """The disk of the deployment has less free than its reserve: nothing new begins until there is room again."""

    status, close, code = 507, Close.CONFLICT, "disk-low"


class DiskQuota(SandboxUnstartable):
    """The session's files have grown far beyond what a session may have: its workspace has to be emptied first."""

    status, close, code = 507, Close.CONFLICT, "disk-quota"


class Draining(Unavailable):
    """This gateway is shutting down."""

    code = "draining"
