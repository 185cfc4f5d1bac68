"""Builds the assistant's message of a run out of its frames. Pure: no I/O."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

from container.protocol import RUN_ID, ExitReason, FrameType, encode
from container.redaction.redactor import Redactor
from container.redaction.stream import strike
from gateway.errors import BudgetExceeded
from gateway.fields import exact, loads
from gateway.model import Message, Run, RunState
from gateway.runs.recording.judge import MOST_BLOCKED, blocked_of, budget_text_of, cost_of, jobs_of, usage_of

FINAL_STATE = {
    ExitReason.COMPLETED: RunState.COMPLETED,
    ExitReason.FAILED: RunState.FAILED,
    ExitReason.STOPPED: RunState.STOPPED,
    ExitReason.LOST: RunState.LOST,
}


MAX_BYTES = 4 * 1024 * 1024
"""Content that a message keeps, in bytes of its frames; the frames themselves are all recorded."""

MAX_DEPTH = 64
"""Levels of a value that a message keeps, as many as the agents' own cutting does: JSON's writers have limits too."""

MOST_BUDGETS = 4
"""Sentences about budgets that a message keeps, as many as there are budgets."""

BUDGET_EXCEEDED = BudgetExceeded.code

TEXT_DELTA = FrameType.TEXT_DELTA.value
"""Looked up once: most frames are of this type, and an enum's lookup takes as long as all else that is done for one."""

_CONTENT = frozenset({FrameType.TEXT_DELTA, FrameType.TOOL_START, FrameType.TOOL_RESULT})


class Transcript:
    """Feed it the frames of a run in order; `state` is set once `process-exit` was seen. `last`, `kind`: number and
    type of the newest frame."""

    def __init__(self) -> None:
        self.state: RunState | None = None
        self.redactor: Redactor | None = None
        """What strikes secrets from texts that came in pieces; None: nobody does."""
        self.reason = ""
        self.last = 0
        self.kind = ""
        self._size = 0
        self._parts: list[dict[str, Any]] = []
        self._text: list[str] = []
        self._has_text = False
        self._tools: dict[str, dict[str, Any]] = {}
        self._meta: dict[str, Any] = {}

    def feed(self, lines: bytes) -> None:
        """Take whole frames, one a line. Raises ValueError when a line is no frame of a run (JSON with `seq`)."""
        for line in lines.split(b"\n"):
            if line:
                self.take(parse_frame(line), len(line))

    def take(self, frame: dict[str, Any], size: int) -> None:
        """Take one frame, of `size` bytes. Raises KeyError when it has no `seq`."""
        kind = frame.get("type")
        self.last = int(frame["seq"])
        self.kind = kind if isinstance(kind, str) else ""
        if kind in _CONTENT:
            self._size += size
        if kind in _CONTENT and self._size > MAX_BYTES:
            self._meta["truncated"] = True
        elif kind == TEXT_DELTA:
            self._text.append(str(frame.get("text", "")))
            self._has_text = True
        elif kind == FrameType.TOOL_START:
            self._end_text()
            tool = {
                "type": "tool",
                "id": _shallow(frame.get("id")),
                "name": _shallow(frame.get("name")),
                "input": _shallow(frame.get("input")),
            }
            tool["output"] = None
            self._parts.append(tool)
            self._tools[str(tool["id"])] = tool
        elif kind == FrameType.TOOL_RESULT:
            self._end_tool(frame)
        elif kind == FrameType.SESSION_INIT:
            self._keep_session(frame)
        elif kind == FrameType.DONE:
            self._done(frame)
        elif kind == FrameType.ERROR:
            self._failed(frame)
        elif kind == FrameType.PROCESS_EXIT:
            self._end(frame.get("reason"))
        else:
            self._told(frame)

    def take_texts(self, texts: list[str], size: int) -> bool:
        """Take frames of text that follow the newest one, of `size` bytes together; False, and nothing is done, where
        some of them are kept and some are not."""
        if self._size <= MAX_BYTES:
            if self._size + size > MAX_BYTES:
                return False
            self._text += texts
            self._has_text = True
        else:
            self._meta["truncated"] = True
        self._size += size
        self.last += len(texts)
        self.kind = TEXT_DELTA
        return True

    def _told(self, frame: dict[str, Any]) -> None:
        """What the servers tell a run of its surroundings."""
        match frame.get("type"):
            case FrameType.JOBS_ENDED:
                self._meta["jobsEnded"] = jobs_of(frame.get("jobs"))
            case FrameType.EGRESS_BLOCKED:
                self._note_blocked(frame)
            case FrameType.BUDGET:
                self._near_budget(frame)

    def _failed(self, frame: dict[str, Any]) -> None:
        """Keep the last error; but what the agent says of a call that was cut says less than why it was."""
        before = self._meta.get("error")
        if before is None or before["code"] != BUDGET_EXCEEDED:
            self._meta["error"] = {name: _shallow(frame.get(name)) for name in ("error", "code")}

    def _near_budget(self, frame: dict[str, Any]) -> None:
        text, told = budget_text_of(frame.get("text")), self._meta.setdefault("budget", [])
        if text is not None and len(told) < MOST_BUDGETS:
            told.append(text)

    def _note_blocked(self, frame: dict[str, Any]) -> None:
        told, blocked = self._meta.setdefault("egressBlocked", []), blocked_of(frame)
        if blocked is not None and len(told) < MOST_BLOCKED:
            told.append(blocked)

    def _end(self, reason: Any) -> None:
        known = isinstance(reason, str) and reason in set(ExitReason)
        end = ExitReason(str(reason)) if known else ExitReason.FAILED
        self.reason, self.state = end.value, FINAL_STATE[end]

    def _end_tool(self, frame: dict[str, Any]) -> None:
        started = self._tools.get(str(_shallow(frame.get("id"))))
        if started is not None:
            started["output"] = _shallow(frame.get("output"))
            if frame.get("isError"):
                started["isError"] = True

    def _done(self, frame: dict[str, Any]) -> None:
        told = {"usage": usage_of(frame.get("usage")), "costUsd": cost_of(frame.get("costUsd"))}
        self._meta |= {name: value for name, value in told.items() if value is not None}
        self._keep_session(frame)
        if not self._has_text and frame.get("fullText"):
            self._text.append(str(frame["fullText"]))
            self._has_text = True

    def _keep_session(self, frame: dict[str, Any]) -> None:
        """The SDK's session, for the next query; an id that a query could not carry is left out."""
        session = frame.get("sessionId")
        if isinstance(session, str) and RUN_ID.fullmatch(session):
            self._meta["sdkSessionId"] = session

    def _end_text(self) -> None:
        if self._text:
            text = "".join(self._text)
            if self.redactor is not None:
                text = strike(self.redactor, text)
            self._parts.append({"type": "text", "text": text})
            self._text = []

    def message(self, run: Run, *, now: float) -> Message:
        """The assistant's message as far as it is known; its id is derived from the run's: written twice is once."""
        self._end_text()
        text = "".join(part["text"] for part in self._parts if part["type"] == "text")
        return Message(
            id=f"{run.id}-a",
            session=run.session,
            role="assistant",
            content=text,
            created_at=now,
            run=run.id,
            parts=tuple(self._parts),
            meta={**self._meta, "reason": self.reason},
        )


def _shallow(value: Any, levels: int = MAX_DEPTH) -> Any:
    """`value` with None for each object and list below `levels` of them."""
    if not isinstance(value, dict | list):
        return value
    if levels == 0:
        return None
    if isinstance(value, list):
        return [_shallow(item, levels - 1) for item in value]
    return {name: _shallow(item, levels - 1) for name, item in value.items()}


def parse_frame(line: bytes) -> dict[str, Any]:
    """A frame. Half a surrogate pair and a number beyond a float's range, which JSON allows, are made harmless.

    Raises ValueError for what is no JSON object, or one of more levels than parsers take (at least `MAX_DEPTH`).
    """
    try:
        frame = orjson.loads(line)
        # Most frames are text, and few of these are searched for long numbers.
        if isinstance(frame, dict) and frame.get("type") != TEXT_DELTA:
            frame = exact(frame, line)
    except orjson.JSONDecodeError:
        try:
            frame = loads(encode(json.loads(line, parse_float=_finite, parse_int=_whole)))
        except RecursionError as error:
            raise ValueError("a frame nests too deeply") from error
    if not isinstance(frame, dict):
        raise ValueError("a frame is a JSON object")  # noqa: TRY004 - one kind of error for what is no frame
    return frame


def _finite(text: str) -> float | str:
    return number if math.isfinite(number := float(text)) else text


def _whole(text: str) -> int | str:
    return int(text) if math.isfinite(float(text)) else text
