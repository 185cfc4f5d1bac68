"""Judges a frame that a sandbox sent before a recorder believes it. Pure: no I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from container.protocol import SERVER_ONLY, FrameType
from gateway.errors import SandboxFaulty


class Fault(StrEnum):
    """How a sandbox broke the protocol: what the log counts by."""

    GAP = "gap"
    REPEATED = "repeated frame"
    FOREIGN = "another run's frame"
    NO_FRAME = "no frame"
    TOO_DEEP = "nested too deeply"
    MISPLACED = "frame out of its place"
    NOISE = "too much that is no frame of the run"


def fault(kind: Fault, detail: str) -> SandboxFaulty:
    """The error for a fault."""
    return SandboxFaulty(f"The sandbox breaks the protocol ({kind}): {detail}.")


_NUMBERED: Final = {
    *(FrameType.RUN, FrameType.JOBS_ENDED, FrameType.EGRESS_BLOCKED, FrameType.BUDGET),
    *(FrameType.SANDBOX_LOST, FrameType.PROCESS_EXIT),
}

UNNUMBERED: Final = (SERVER_ONLY - _NUMBERED) | {FrameType.READY}
"""Types that no frame of a run has; those that only servers write beside them have their place."""

RUN: Final = FrameType.RUN.value
SANDBOX_LOST: Final = FrameType.SANDBOX_LOST.value
PROCESS_EXIT: Final = FrameType.PROCESS_EXIT.value
"""Looked up once: every frame is compared with them, and an enum's lookup takes longer than that."""


def judge_place(kind: Any, seq: int, before: str) -> None:
    """Whether a frame of this type may have this number, behind one of type `before`. Raises `SandboxFaulty`."""
    if not isinstance(kind, str):
        raise fault(Fault.NO_FRAME, f"frame {seq} has no type")
    if (kind == RUN) != (seq == 1):
        raise fault(Fault.MISPLACED, f"frame {seq} is {kind[:40]!r}; `run` is the first frame and no other")
    if before == SANDBOX_LOST and kind != PROCESS_EXIT:
        raise fault(Fault.MISPLACED, f"frame {seq} is {kind[:40]!r}, behind `sandbox-lost`")
    if kind in UNNUMBERED:
        raise fault(Fault.MISPLACED, f"frame {seq} is {kind!r}, which no run has")


MOST_JOBS, JOB_CHARS = 10, 200


def jobs_of(value: Any) -> list[str]:
    """The names in `jobs`, as far as they can be some."""
    jobs = value if isinstance(value, list) else []
    return [job[:JOB_CHARS] for job in jobs[:MOST_JOBS] if isinstance(job, str)]


MOST_BLOCKED: Final = 32

_HOST: Final = re.compile(r"[a-z0-9.-]{1,253}")


def blocked_of(frame: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an `egress-blocked` frame says, as far as it can be one."""
    host, reason = frame.get("host"), frame.get("reason")
    if not (isinstance(host, str) and _HOST.fullmatch(host) and isinstance(reason, str)):
        return None
    return {"host": host, "reason": reason[:16], "mayAllow": frame.get("mayAllow") is True}


BUDGET_CHARS: Final = 300


def budget_text_of(value: Any) -> str | None:
    """The sentence of a `budget` frame, where it is one."""
    return value[:BUDGET_CHARS] if isinstance(value, str) else None


MOST_COST: Final = 1_000_000.0
"""US dollars of one run: more is no cost."""

MOST_COUNT: Final = 1_000_000_000_000
"""Tokens, or milliseconds, of one run."""

USAGE_VALUES, USAGE_LEVELS, USAGE_TEXT = 64, 4, 100


def cost_of(value: Any) -> float | None:
    """`costUsd` where it can be one."""
    if type(value) in (int, float) and 0 <= value <= MOST_COST:
        return float(value)
    return None


def usage_of(value: Any) -> dict[str, Any] | None:
    """`usage` where all of it can be one: counts from 0, short texts, and objects and lists of such."""
    return value if isinstance(value, dict) and _is_usage(value, USAGE_LEVELS) else None


def _is_usage(value: Any, levels: int) -> bool:
    match value:
        case None | bool():
            return True
        case int() | float():
            return 0 <= value <= MOST_COUNT
        case str():
            return len(value) <= USAGE_TEXT
        case dict() | list() if levels and len(value) <= USAGE_VALUES:
            names, parts = (value, value.values()) if isinstance(value, dict) else ((), value)
            return all(len(name) <= USAGE_TEXT for name in names) and all(
                _is_usage(part, levels - 1) for part in parts
            )
    return False


HEAVY_PARTS: Final = 4000
"""Arrays, objects and members of a message, beyond those of plain frames, that take a few milliseconds: of nothing
else than brackets and commas a frame can have 170,000, which take a tenth of a second."""

PLAIN_PARTS: Final = 8
"""Of a plain frame."""


def is_heavy(message: bytes) -> bool:
    """Whether the loop should not take this message by itself."""
    if len(message) < HEAVY_PARTS:
        return False
    parts = message.count(b",") + message.count(b"[") + message.count(b"{")
    return parts - PLAIN_PARTS * message.count(b"\n") > HEAVY_PARTS
