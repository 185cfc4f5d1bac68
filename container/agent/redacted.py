"""An answer's frames without secrets: each by itself, and texts that come in pieces across their borders. No clock."""

from __future__ import annotations

from itertools import count
from typing import Any, Final

from container.agent.cut import cut_object
from container.agent.lines import AgentFrame
from container.protocol import MAX_BODY_BYTES, FrameType, encode
from container.redaction.redactor import Redactor
from container.redaction.stream import RedactedText
from container.redaction.values import strike_value

HOLD_SECONDS: Final = 0.2
"""What may be the beginning of a secret is held back for so long at most, and so is what comes behind it."""

MOST_TEXTS: Final = 16
"""Texts that are followed at once: the agent's own, and those of agents that it has started."""

MOST_WAITING_BYTES: Final = 1024 * 1024
"""Of frames that wait behind what is held back."""

TEXT_DELTA, STDERR = FrameType.TEXT_DELTA.value, FrameType.STDERR.value
"""Looked up once: every frame's type is compared with them."""

LAST: Final = frozenset({FrameType.DONE.value, FrameType.ERROR.value})
"""Behind these no text goes on."""


class _Text:
    """A text in pieces. `fields`: what each piece of it says besides. `held_since`: counts what was held back anew."""

    def __init__(self, redactor: Redactor, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.stream = RedactedText(redactor)
        self.held_since = 0
        self.has_lines = fields["type"] == STDERR

    def body(self, text: str) -> bytes:
        return encode({**self.fields, "text": text})

    def bodies(self, text: str) -> list[bytes]:
        text = text.removesuffix("\n") if self.has_lines else text
        return [self.body(text)] if text else []


class RedactedFrames:
    """Takes the frames of an agent's stdout (`take`) and stderr (`take_stderr`) in their order, and gives the bodies
    that may be shown. `redactor` None: all of them, as they are."""

    def __init__(self, redactor: Redactor | None) -> None:
        self._redactor = redactor
        self._numbers = count(1)
        self._texts: dict[tuple[str, str], _Text] = {}
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self.held_since = 0
        """A number of the oldest thing that is held back and that `release` gives; 0 while there is none."""
        if redactor is not None:
            self._main = self._texts[TEXT_DELTA, ""] = _Text(redactor, {"type": TEXT_DELTA})
            self._stderr = _Text(redactor, {"type": STDERR})

    def take(self, frames: list[AgentFrame]) -> list[bytes]:
        """The bodies that can be given out now."""
        if self._redactor is None or self._are_plain(frames):
            return [frame.body for frame in frames]
        bodies: list[bytes] = []
        for frame in frames:
            if (text := self._text_of(frame, bodies)) is not None:
                bodies += self._piece(frame, text)
                continue
            struck = _changed(frame, strike_value(self._redactor, frame.fields))
            if frame.type in LAST:
                bodies += self._ends()
            if self._holds_texts():
                self._waiting.append(struck)
                self._waiting_bytes += len(struck)
                if self._waiting_bytes > MOST_WAITING_BYTES:
                    bodies += self.release()
                continue
            for text in self._texts.values():
                text.stream.part()
            bodies.append(struck)
        self._note()
        return bodies

    def pass_on(self, text: str) -> bool:
        """Whether pieces of the agent's own text that are `text` together may be given out as they are. Then they count
        as given out; else they are for `take`."""
        return self._redactor is None or (not self._waiting and self._main.stream.is_plain(text))

    def take_stderr(self, frames: list[AgentFrame]) -> list[bytes]:
        """The same for what the agent wrote to stderr, which comes beside its frames."""
        if self._redactor is None:
            return [frame.body for frame in frames]
        bodies = [body for frame in frames for body in self._piece(frame, self._stderr)]
        self._note()
        return bodies

    def release(self) -> list[bytes]:
        """What was held back for long enough."""
        if self._redactor is None:
            return []
        bodies = [body for text in self._texts.values() for body in text.bodies(text.stream.release())]
        bodies += self._wait_no_more()
        bodies += self._stderr.bodies(self._stderr.stream.release())
        self._note()
        return bodies

    def end(self) -> list[bytes]:
        """What is held back, as the answer has ended."""
        if self._redactor is None:
            return []
        bodies = [*self._ends(), *self._stderr.bodies(self._stderr.stream.end())]
        self._note()
        return bodies

    def _are_plain(self, frames: list[AgentFrame]) -> bool:
        """Whether they are the agent's text with nothing in it. Many that come at once are looked at as one."""
        for frame in frames:
            if frame.type != TEXT_DELTA or not _is_text(frame.fields):
                return not frames
        return self.pass_on(
            frames[0].fields["text"] if len(frames) == 1 else "".join([f.fields["text"] for f in frames])
        )

    def _text_of(self, frame: AgentFrame, bodies: list[bytes]) -> _Text | None:
        """The text that a frame is a piece of; one that is followed no more for it goes to `bodies`."""
        if not (frame.type == STDERR or frame.type.endswith("-delta")) or not isinstance(
            frame.fields.get("text"), str
        ):
            return None
        parent = frame.fields.get("parentId")
        key = (frame.type, parent if isinstance(parent, str) else "")
        if key not in self._texts:
            assert self._redactor is not None  # noqa: S101 - by whom this is called
            if len(self._texts) >= MOST_TEXTS:
                oldest = self._texts.pop(list(self._texts)[1])  # behind the agent's own
                bodies += oldest.bodies(oldest.stream.end())
            fields = {"type": frame.type} | ({"parentId": parent} if key[1] else {})
            self._texts[key] = _Text(self._redactor, fields)
        return self._texts[key]

    def _piece(self, frame: AgentFrame, text: _Text) -> list[bytes]:
        """A piece of a text; of stderr a line, which has lost its newline."""
        assert self._redactor is not None  # noqa: S101 - by whom this is called
        given, stream = frame.fields["text"], text.stream
        held = stream.held
        shown = stream.feed(f"{given}\n" if text.has_lines else given)
        if text.has_lines and frame.fields.get("truncated"):
            shown += stream.end(cut=True)
        shown = shown.removesuffix("\n") if text.has_lines else shown
        if shown or not stream.held:
            text.held_since = next(self._numbers) if stream.held else 0
        elif not held:
            text.held_since = next(self._numbers)
        bodies: list[bytes] = []
        if self._waiting and text is not self._stderr and not self._holds_texts():
            # What was held back came before what waits, and the rest of this piece behind it.
            first = held if shown.startswith(held) else shown
            bodies += [*text.bodies(first), *self._wait_no_more()]
            shown = shown[len(first) :]
        if not shown and (given or bodies):
            return bodies
        if shown == given and _is_text(frame.fields):
            return [*bodies, frame.body]
        others = {name: value for name, value in frame.fields.items() if name != "text"}
        return [*bodies, _changed(frame, {**strike_value(self._redactor, others), "text": shown})]

    def _holds_texts(self) -> bool:
        return any(text.stream.held for text in self._texts.values())

    def _wait_no_more(self) -> list[bytes]:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        return waiting

    def _ends(self) -> list[bytes]:
        ends = [body for text in self._texts.values() for body in text.bodies(text.stream.end())]
        return ends + self._wait_no_more()

    def _note(self) -> None:
        self.held_since = min(
            (text.held_since for text in (*self._texts.values(), self._stderr) if text.stream.held), default=0
        )


def _is_text(fields: dict[str, Any]) -> bool:
    """Whether a frame is its type and its text, and nothing else."""
    return len(fields) == 2 and isinstance(fields.get("text"), str)


def _changed(frame: AgentFrame, fields: dict[str, Any]) -> bytes:
    if fields is frame.fields:
        return frame.body
    body = encode(fields)
    return body if len(body) <= MAX_BODY_BYTES else cut_object(fields, max(frame.length, len(body)))
