"""Errors of the agent server, each with its HTTP status and a stable code.

AgentServerError 500
├── BadRequest 400 ─ PayloadTooLarge 413
├── Unauthorized 401
├── NotFound 404 ─ RunNotFound, TerminalNotFound, NoPendingQuery
├── Conflict 409 ─ Busy
├── Changed 412
├── UnsupportedEncoding 415
├── CursorAhead 416
├── Retiring 503
└── InsufficientStorage 507
"""

from __future__ import annotations

from typing import Any

from container.protocol import ApiError, Close


class AgentServerError(ApiError):
    """Root of every error of the agent server."""


class BadRequest(AgentServerError):
    """A field is missing, malformed or too long."""

    status, close, code = 400, Close.BAD_REQUEST, "bad-request"


class PayloadTooLarge(BadRequest):
    """The body is larger than the route takes."""

    status, close, code = 413, Close.TOO_BIG, "payload-too-large"


class Unauthorized(AgentServerError):
    """No sandbox token, or not this sandbox's."""

    status, close, code = 401, Close.UNAUTHORIZED, "unauthorized"


class NotFound(AgentServerError):
    """Nothing of that name."""

    status, close, code = 404, Close.NOT_FOUND, "not-found"


class RunNotFound(NotFound):
    """This sandbox knows no such run."""

    code = "run-not-found"


class TerminalNotFound(NotFound):
    """This sandbox has no such terminal (any more)."""

    code = "terminal-not-found"


class NoPendingQuery(NotFound):
    """No query was left for the run within the time limit."""

    code = "no-pending-query"


class Conflict(AgentServerError):
    """The state does not allow it now."""

    status, close, code = 409, Close.CONFLICT, "conflict"


class Busy(Conflict):
    """Something ran or was connected more recently than asked."""

    code = "busy"


class Changed(AgentServerError):
    """The file is another version than the request is about. `etag`: the one that is there, None when there is none."""

    status, close, code = 412, Close.CONFLICT, "changed"

    def __init__(self, message: str, *, etag: str | None) -> None:
        super().__init__(message)
        self.etag = etag

    def body(self) -> dict[str, Any]:
        """`etag` too, quoted as a header has it."""
        return {**super().body(), "etag": None if self.etag is None else f'"{self.etag}"'}


class UnsupportedEncoding(AgentServerError):
    """The body is packed; nobody here unpacks one."""

    status, close, code = 415, Close.BAD_REQUEST, "unsupported-encoding"


class CursorAhead(AgentServerError):
    """The cursor is past the run's last frame."""

    status, close, code = 416, Close.CURSOR_AHEAD, "cursor-ahead"


class Retiring(AgentServerError):
    """The sandbox is going away and takes no further query."""

    status, close, code = 503, Close.TRY_AGAIN, "retiring"


class InsufficientStorage(AgentServerError):
    """The sandbox's disk does not take it."""

    status, code = 507, "disk-full"
