"""An answer's frames without secrets: each by itself, and texts that come in pieces across their borders. No clock."""

from __future__ import annotations

from typing import Any, Final

from container.agent.cut import cut_object
from container.agent.lines import AgentFrame
from container.protocol import MAX_BODY_BYTES, FrameType, encode
from container.redaction.redactor import Redactor
from container.redaction.stream import RedactedText
from container.redaction.values import strike_value

HOLD_SECONDS: Final = 0.2
"""What may be the beginning of a secret is held back for so long at most."""

TEXT_DELTA, STDERR = FrameType.TEXT_DELTA.value, FrameType.STDERR.value
"""Looked up once: every frame's type is compared with them."""


class RedactedFrames:
    """Takes the frames of an agent's stdout (`take`) and stderr (`take_stderr`) in their order, and gives the bodies
    that may be shown. `redactor` None: all of them, as they are."""

    def __init__(self, redactor: Redactor | None) -> None:
        self._redactor = redactor
        if redactor is not None:
            self._texts = {TEXT_DELTA: RedactedText(redactor), STDERR: RedactedText(redactor)}
            self._stderr = RedactedText(redactor)

    @property
    def holds(self) -> bool:
        """Whether something is held back that `release` gives."""
        return self._redactor is not None and (
            self._stderr.holds or any(text.holds for text in self._texts.values())
        )

    def take(self, frames: list[AgentFrame]) -> list[bytes]:
        """The bodies that can be given out now."""
        if self._redactor is None or not frames:
            return [frame.body for frame in frames]
        # At full speed many come at once, and most are text with nothing in it: they are looked at as one.
        if all(frame.type == TEXT_DELTA and _is_text(frame.fields) for frame in frames) and self._texts[
            TEXT_DELTA
        ].is_plain("".join([frame.fields["text"] for frame in frames])):
            return [frame.body for frame in frames]
        bodies: list[bytes] = []
        for frame in frames:
            text = self._texts.get(frame.type)
            if text is not None and isinstance(frame.fields.get("text"), str):
                bodies += self._piece(frame, text)
            else:
                bodies += self._rest(text=True)
                bodies += _changed(frame, strike_value(self._redactor, frame.fields))
        return bodies

    def take_stderr(self, frames: list[AgentFrame]) -> list[bytes]:
        """The same for what the agent wrote to stderr, which comes beside its frames."""
        if self._redactor is None:
            return [frame.body for frame in frames]
        return [body for frame in frames for body in self._piece(frame, self._stderr)]

    def release(self) -> list[bytes]:
        """What was held back for long enough."""
        if self._redactor is None:
            return []
        held = [(kind, text) for kind, text in self._texts.items() if text.holds]
        held += [(STDERR, self._stderr)] if self._stderr.holds else []
        return [_text_body({"type": kind}, text.release()) for kind, text in held]

    def end(self) -> list[bytes]:
        """What is held back, as the answer has ended."""
        return [] if self._redactor is None else self._rest(text=True) + self._rest(text=False)

    def _piece(self, frame: AgentFrame, text: RedactedText) -> list[bytes]:
        """A piece of a text; of stderr a line, which has lost its newline."""
        assert self._redactor is not None  # noqa: S101 - by whom this is called
        given, line = frame.fields["text"], frame.type == STDERR
        shown = text.feed(f"{given}\n" if line else given)
        if line and frame.fields.get("truncated"):
            shown += text.end(cut=True)
        shown = shown.removesuffix("\n") if line else shown
        if not shown and given:
            return []
        if shown == given and _is_text(frame.fields):
            return [frame.body]
        others = {name: value for name, value in frame.fields.items() if name != "text"}
        return _changed(frame, {**strike_value(self._redactor, others), "text": shown})

    def _rest(self, *, text: bool) -> list[bytes]:
        streams = list(self._texts.items()) if text else [(STDERR, self._stderr)]
        rests = [
            (kind, stream.end().removesuffix("\n" if kind == STDERR else "")) for kind, stream in streams
        ]
        return [_text_body({"type": kind}, rest) for kind, rest in rests if rest]


def _is_text(fields: dict[str, Any]) -> bool:
    """Whether a frame is its type and its text, and nothing else."""
    return len(fields) == 2 and isinstance(fields.get("text"), str)


def _changed(frame: AgentFrame, fields: dict[str, Any]) -> list[bytes]:
    if fields is frame.fields:
        return [frame.body]
    body = encode(fields)
    return [body if len(body) <= MAX_BODY_BYTES else cut_object(fields, max(frame.length, len(body)))]


def _text_body(fields: dict[str, Any], text: str) -> bytes:
    return encode({**fields, "text": text})
