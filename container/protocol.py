"""The wire protocol between agent, agent server, gateway and browser: frames, limits, close codes, version.

Pure data and pure functions: no I/O, no clock, no randomness. docs/protocol.md says the same in prose.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import math
import re
import sys
from collections.abc import Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, Final

VERSION: Final = "0.20.0"
"""The version of VaporForge; every other place reads it from here."""

AGENT_PORT: Final = 8765
"""TCP port of the agent server in a sandbox."""

SEED_PENDING_PATH: Final = "/tmp/vf-pending-query.json"  # noqa: S108 - the seed names it; mode 0600, owner checked
"""Where a query for a connection that names no run is left (the seed's own path)."""

MAX_PROMPT_CHARS: Final = 100_000
"""Longest prompt, in characters."""

MAX_FRAME_BYTES: Final = 256 * 1024
"""Longest frame, in bytes of UTF-8 JSON; longer agent lines are cut to it and say so."""

MAX_BODY_BYTES: Final = MAX_FRAME_BYTES - 128
"""Longest frame before `stamp`: leaves room for the longest `run` and `seq`."""

MAX_BATCH_BYTES: Final = 256 * 1024
"""A batched message holds whole frames up to this many bytes, and always at least one."""

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
"""Longest agent line that is still parsed; the rest of a longer one is counted and thrown away."""

MAX_RUN_BYTES: Final = 256 * 1024 * 1024
"""A run's stamped frames together, a newline behind each; a run that would have more is ended."""

MAX_DEPTH: Final = 200
"""Levels of arrays and objects in a frame: every parser on its way takes them, the gateway's own stops at 1,024."""

PING_SECONDS: Final = 20.0
"""A reader gets a `ping` frame when nothing else was sent to it for this long."""

PROOF_NONCE: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
"""What a gateway chooses anew for each proof that it asks for."""

RUN_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a run id, a session id or a message id looks like (use with `fullmatch`)."""

POOL_PREFIX: Final = "pool-"
"""How the id begins under which a sandbox of the pool is started: it is no session's, until one claims it."""


class FrameType(StrEnum):
    """Every frame type that VaporForge itself writes or acts on; agents may send others, which pass unread."""

    SESSION_INIT = "session-init"
    TEXT_DELTA = "text-delta"
    TOOL_START = "tool-start"
    TOOL_RESULT = "tool-result"
    DONE = "done"
    ERROR = "error"
    SESSION_RESET = "session-reset"
    CONFIG_RESTORED = "config-restored"
    PROCESS_EXIT = "process-exit"
    RUN = "run"
    STATUS = "status"
    PING = "ping"
    REPLAY_COMPLETE = "replay-complete"
    SANDBOX_LOST = "sandbox-lost"
    JOBS_ENDED = "jobs-ended"
    EGRESS_BLOCKED = "egress-blocked"
    BUDGET = "budget"
    RECONNECT = "reconnect"
    STDERR = "stderr"
    TIMING = "timing"
    READY = "ready"


class TerminalFrame(StrEnum):
    """Types of a terminal's text messages, besides `ping`, `error` and `reconnect`; its bytes are binary messages."""

    TERMINAL = "terminal"
    INPUT = "input"
    RESIZE = "resize"
    ACK = "ack"
    EXIT = "exit"


SERVER_ONLY: Final = frozenset(
    {
        FrameType.RUN,
        FrameType.STATUS,
        FrameType.PING,
        FrameType.REPLAY_COMPLETE,
        FrameType.SANDBOX_LOST,
        FrameType.JOBS_ENDED,
        FrameType.EGRESS_BLOCKED,
        FrameType.BUDGET,
        FrameType.RECONNECT,
        FrameType.PROCESS_EXIT,
        FrameType.TIMING,
    }
)
"""Types that only the servers may write: an agent's line of such a type becomes a `stderr` frame."""


LOSS_ERRORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "disk-quota": "This session's files grew beyond what a session may have, so its sandbox was ended. Its files "
        "are kept: ask for what is not needed to be deleted, until then little more can be written.",
        "disk-low": "The disk of this deployment is nearly full and this session wrote to it, so its sandbox was "
        "ended. Its files are kept; sandboxes start again when there is room.",
    }
)
"""Why a sandbox was ended on purpose, by the `reason` of `sandbox-lost`: an `error` frame of this code goes before."""


class ExitReason(StrEnum):
    """`process-exit.reason`: how a run ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    LOST = "lost"


class Close(IntEnum):
    """WebSocket close codes. A run's end is a `process-exit` frame; the code only says why the connection ended."""

    OK = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    TOO_BIG = 1009
    INTERNAL = 1011
    TRY_AGAIN = 1013
    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    NOT_FOUND = 4404
    CONFLICT = 4409
    GONE = 4410
    CURSOR_AHEAD = 4416


class ApiError(Exception):
    """Root of every error that a client may see. `message`: a sentence that says what is wrong and what to do;
    `field`: the input at fault, where there is one. `code` is stable and listed in docs/protocol.md."""

    status: ClassVar[int] = 500
    close: ClassVar[Close] = Close.INTERNAL
    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field

    def body(self) -> dict[str, Any]:
        """`{error, code}` and `field` where there is one: the JSON of every error response and `error` frame."""
        body: dict[str, Any] = {"error": self.message, "code": self.code}
        if self.field is not None:
            body["field"] = self.field
        return body


def loss_frames(reason: str) -> list[dict[str, Any]]:
    """The frames that tell why a run's sandbox was lost, before its `process-exit`."""
    lost = {"type": FrameType.SANDBOX_LOST, "reason": reason}
    if reason not in LOSS_ERRORS:
        return [lost]
    return [{"type": FrameType.ERROR, "error": LOSS_ERRORS[reason], "code": reason}, lost]


def encode(frame: dict[str, Any]) -> bytes:
    """One frame as compact UTF-8 JSON without a newline."""
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class _OutOfRangeError(Exception):
    """A number that no double holds."""


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise _OutOfRangeError
    return value


def _int(digits: str) -> int:
    if len(digits) > sys.float_info.max_10_exp:
        _float(digits)
    return int(digits)


def _float_or_text(digits: str) -> float | str:
    value = float(digits)
    return digits if math.isinf(value) else value


def _int_or_text(digits: str) -> int | str:
    return digits if math.isinf(float(digits)) else int(digits)


_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
"""An escaped half of a character, lone or not."""

_EXACT: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_float, parse_int=_int)
_LENIENT: Final = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_float_or_text, parse_int=_int_or_text
)


def decode(line: bytes) -> dict[str, Any]:
    """The JSON object in `line`; numbers that no double holds (`1e999`) are their text.

    Raises ValueError for all else: bad UTF-8, NaN, a list, more than MAX_DEPTH levels.
    """
    return read_frame(line)[0]


def read_frame(line: bytes) -> tuple[dict[str, Any], bytes]:
    """What `decode` says, and the frame's bytes: `line` as it is, unless parsers would differ about it.

    JSON's grammar allows lone surrogates (RFC 8259, section 8.2) and numbers of any size (section 6), which strict
    parsers refuse, and carriage returns between tokens (section 2), at which server-sent events end a line: those
    lines are encoded anew. Raises ValueError like `decode`.
    """
    text = line.decode("utf-8")
    try:
        frame = _object(_EXACT, text, line)
    except _OutOfRangeError:
        frame = _object(_LENIENT, text, line)
    else:
        if "\r" not in text and not ("\\" in text and _SURROGATE.search(text)):
            return frame, line
    return frame, encode(frame)


def _object(decoder: json.JSONDecoder, text: str, line: bytes) -> dict[str, Any]:
    try:
        value, end = decoder.raw_decode(text) if text.startswith("{") else (None, -1)
        if end != len(text):
            value = decoder.decode(text)  # which knows of the white space around it, and says what is wrong
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one kind of error for every line that is no frame
    if is_too_deep(line, value):
        raise ValueError("nested too deeply")
    return value


def is_too_deep(line: bytes, value: dict[str, Any]) -> bool:
    """Whether `value`, which was parsed from `line`, has more than MAX_DEPTH levels."""
    if len(line) <= 2 * MAX_DEPTH or line.count(b"{") + line.count(b"[") <= MAX_DEPTH:
        return False  # few lines have that many brackets, so few values are walked through
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        inner = (item.values() if isinstance(item, dict) else item for item in level)
        level = [part for parts in inner for part in parts if isinstance(part, dict | list)]
    return bool(level)


def stamp(line: bytes, run: str, seq: int) -> bytes:
    """`line`, a JSON object's bytes, with `run` and `seq` spliced in at its end: they win over the agent's own."""
    body = line.rstrip()[:-1].rstrip()
    comma = b"" if body.endswith(b"{") else b","
    return b'%s%s"run":"%s","seq":%d}' % (body, comma, run.encode(), seq)


_TIGHT: Final = frozenset((b'"}', b"]}", b"}}"))
"""How most objects end: with nothing that `stamp` takes off."""


def stamp_all(lines: list[bytes], run: str, first: int) -> list[bytes]:
    """Each line as `stamp` makes it, numbered from `first` on: of many at once in less than half the time."""
    if {line[-2:] for line in lines} <= _TIGHT:
        name = run.encode()
        return [b'%b,"run":"%b","seq":%d}' % (line[:-1], name, seq) for seq, line in enumerate(lines, first)]
    return [stamp(line, run, seq) for seq, line in enumerate(lines, first)]


_SEQ = re.compile(rb'"seq":(\d+)\}\s*$')


def seq_of(message: bytes) -> int | None:
    """The `seq` of the last frame in a message (one frame, or a batch of lines); None when it carries none."""
    found = _SEQ.search(message, max(0, len(message) - 40))
    return int(found[1]) if found else None


def sandbox_token(secret: bytes, session: str) -> str:
    """The bearer token of a session's sandbox: derived, so that every gateway knows it and none stores it."""
    digest = hmac.new(secret, b"vf-sandbox:" + session.encode(), hashlib.sha256).hexdigest()
    return f"vfs1.{session}.{digest}"


def is_sandbox_token(token: str) -> bool:
    """Whether it has the form of one."""
    return token.startswith("vfs1.")


def server_proof(token: str, nonce: str, host: str, port: int) -> str:
    """What an agent server says to show that it knows `token`, 64 hexadecimal digits, to whoever chose `nonce` and
    called it at this address of its own: said at any other one it shows nothing, so nobody can have it said for
    them."""
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    said = f"vf-proof:{nonce}:{mapped or address}:{port}"
    return hmac.new(token.encode(), said.encode(), hashlib.sha256).hexdigest()


def broker_token(token: str, session: str, start: str) -> str:
    """What a sandbox's agent shows the broker: of one start of the sandbox, and worth nothing behind its end. Derived
    from the sandbox's `token`, which is not to be had from it. `start`: as its driver named this start."""
    digest = hmac.new(token.encode(), b"vf-broker:" + start.encode(), hashlib.sha256).hexdigest()
    return f"vfb1.{session}.{start}.{digest}"


def start_of_token(secret: bytes, token: str) -> tuple[str, str] | None:
    """The session and the start that a broker token is of, or None when it is not a token of ours."""
    parts = token.split(".") if token.isascii() else []
    if len(parts) != 4 or parts[0] != "vfb1" or not all(RUN_ID.fullmatch(part) for part in parts[1:3]):
        return None
    session, start = parts[1:3]
    ours = broker_token(sandbox_token(secret, session), session, start)
    return (session, start) if hmac.compare_digest(ours.encode(), token.encode()) else None


def session_of_token(secret: bytes, token: str) -> str | None:
    """The session a sandbox token belongs to, or None when it is not a token of ours."""
    parts = token.split(".") if token.isascii() else []
    if len(parts) != 3 or parts[0] != "vfs1" or not RUN_ID.fullmatch(parts[1]):
        return None
    return parts[1] if hmac.compare_digest(sandbox_token(secret, parts[1]).encode(), token.encode()) else None
