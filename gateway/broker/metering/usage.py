"""Reads what a call has used out of the Messages API's answer, as its bytes pass: they are neither changed nor held up.

A stream tells its usage in `message_start` (the prompt's, final) and in `message_delta` (all of it so far, cumulative;
the last one is the call's). Between them the answer's tokens are estimated from what has come: at least one a delta,
and one for `BYTES_PER_TOKEN` bytes, which is more than most texts have. What is no stream tells it in `usage`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

BYTES_PER_TOKEN: Final = 3
"""Of an estimate: English has four bytes a token or more, code and other languages about three."""

EVENT_BYTES: Final = 256 * 1024
"""An event up to here is parsed; a longer one is none that tells a usage, and is estimated by its length."""

ANSWER_BYTES: Final = 8 * 1024 * 1024
"""An answer that is no stream is parsed up to here; a longer one is estimated by its length."""

FAST: Final = 6.0
"""The dearest factor of a fast mode (`usage.speed`), taken for all of them."""

IN_US: Final = 1.1
"""Inference that is kept in the United States (`usage.inference_geo`)."""

MOST_TOKENS: Final = 1_000_000_000
"""Of one kind in one call: more is no count."""

BESIDES: Final = frozenset({"compaction", "advisor_message"})
"""What is paid for and is in no sum of `usage`, by its type in `usage.iterations`: a conversation that the API made
shorter, and another model that it asked for advice, which has a price of its own."""

COUNTED: Final = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "searches")
"""Of a usage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call by what they cost; `searches` of the API's own tool. `factor`: what its price is multiplied
    with. `estimated`: the API has not told its end, so `output` is a guess; `input` too, where it told nothing.
    `besides`: what the API did for it on top (`BESIDES`), each with the model that did it (empty: the call's own)."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    searches: int = 0
    factor: float = 1.0
    estimated: bool = False
    besides: tuple[tuple[str, Usage], ...] = ()

    def counts(self) -> dict[str, int]:
        """All tokens and searches by their names in the store, and whether it is estimated."""
        parts = (self, *(part for _, part in self.besides))
        summed = {name: sum(getattr(part, name) for part in parts) for name in COUNTED}
        return {"estimated": int(self.estimated), **summed}

    @property
    def prompt(self) -> int:
        """Tokens of the prompt, however they were had."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h


class UsageReader:
    """Fed with an answer's bytes. `usage` is what is known so far, `model` the one that answers (empty: not told yet),
    `began` whether the API has told the prompt's usage, `ended` whether it has told the call's. What is no count tells
    nothing: the guess stays.

    `boundary` is how many bytes of the last `feed` belong to whole events, None when none of them ended one: behind it
    a stream may be ended with an event of one's own."""

    def __init__(self, content_type: str) -> None:
        self.usage = Usage(estimated=True)
        self.model = ""
        self.began = False
        self.ended = False
        self.boundary: int | None = None
        self.is_stream = content_type.partition(";")[0].strip().lower() == "text/event-stream"
        self._line = bytearray()
        self._data = bytearray()
        self._event_bytes = 0
        self._guessed = 0
        """Tokens of what has come of the answer."""
        self._told: dict[str, Any] = {}

    def feed(self, chunk: bytes) -> bool:
        """Take the next bytes; whether `usage` may have changed. Never raises for what the bytes are."""
        self.boundary = None
        return self._feed_stream(chunk) if self.is_stream else self._feed_whole(chunk)

    def end(self) -> None:
        """There are no more bytes."""
        if not self.is_stream and not self.ended and len(self._data) < ANSWER_BYTES:
            self._take_message(_object(bytes(self._data)), final=True)
        self._data.clear()

    def _feed_whole(self, chunk: bytes) -> bool:
        if len(self._data) < ANSWER_BYTES:
            self._data += chunk[: ANSWER_BYTES - len(self._data)]
        self._event_bytes += len(chunk)
        self._guessed = self._event_bytes // BYTES_PER_TOKEN
        self.usage = replace(self.usage, output=self._guessed)
        return True

    def _feed_stream(self, chunk: bytes) -> bool:
        """Lines end in LF, CR LF or (which the API does not send) CR; an empty one ends an event."""
        changed, start = False, 0
        while (end := chunk.find(b"\n", start)) >= 0:
            piece = chunk[start:end]
            start = end + 1
            line = bytes(self._line) + piece if self._line else piece
            self._event_bytes += len(piece) + 1
            self._line.clear()
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                if len(self._data) + len(line) <= EVENT_BYTES:
                    self._data += line[5:]
            elif not line:
                changed |= self._end_event()
                self.boundary = start
        rest = chunk[start:]
        self._event_bytes += len(rest)
        if len(self._line) + len(rest) <= EVENT_BYTES:
            self._line += rest
        elif self._line:
            self._line[:] = b":"  # Too long for an event that tells anything: a comment from here on.
        return changed

    def _end_event(self) -> bool:
        data, size = bytes(self._data), self._event_bytes
        self._data.clear()
        self._event_bytes = 0
        if not data:
            if size > EVENT_BYTES:
                self._estimate(size)
            return size > EVENT_BYTES
        event = _object(data)
        kind = event.get("type")
        if kind == "content_block_delta":
            delta = event.get("delta")
            parts = delta.items() if isinstance(delta, dict) else ()
            self._estimate(
                sum(len(text.encode("utf-8", "replace")) for name, text in parts if _is_text(name, text))
            )
        elif kind == "message_start":
            self._take_message(event.get("message"), final=False)
        elif kind == "message_delta":
            self._take_usage(event.get("usage"), final=True)
        else:
            return False
        return True

    def _estimate(self, size: int) -> None:
        self._guessed += max(1, -(-size // BYTES_PER_TOKEN))
        if not self.ended:
            self.usage = replace(self.usage, output=max(_count(self._told, "output_tokens"), self._guessed))

    def _take_message(self, message: Any, *, final: bool) -> None:
        if not isinstance(message, dict):
            return
        if isinstance(model := message.get("model"), str):
            self.model = model[:128]
        self._take_usage(message.get("usage"), final=final)

    def _take_usage(self, usage: Any, *, final: bool) -> None:
        if not isinstance(usage, dict):
            return
        self._told |= {name: value for name, value in usage.items() if value is not None}
        told = self._told
        self.began |= _is_count(told, "input_tokens")
        self.ended |= final and _is_count(usage, "output_tokens")
        found = _tokens(told)
        tools = told.get("server_tool_use")
        self.usage = replace(
            found,
            output=found.output if self.ended else max(found.output, self._guessed),
            searches=_count(tools, "web_search_requests") if isinstance(tools, dict) else 0,
            factor=(FAST if told.get("speed") == "fast" else 1.0)
            * (IN_US if told.get("inference_geo") == "us" else 1.0),
            estimated=not self.ended,
            besides=_besides(told.get("iterations")),
        )


def _tokens(told: dict[str, Any]) -> Usage:
    written = _count(told, "cache_creation_input_tokens")
    parts = told.get("cache_creation")
    hour = _count(parts, "ephemeral_1h_input_tokens") if isinstance(parts, dict) else 0
    return Usage(
        input=_count(told, "input_tokens"),
        output=_count(told, "output_tokens"),
        cache_read=_count(told, "cache_read_input_tokens"),
        cache_write_5m=max(0, written - hour),
        cache_write_1h=hour,
    )


def _besides(iterations: Any) -> tuple[tuple[str, Usage], ...]:
    found = iterations if isinstance(iterations, list) else []
    return tuple(
        (model[:128] if isinstance(model := one.get("model"), str) else "", _tokens(one))
        for one in found
        if isinstance(one, dict) and one.get("type") in BESIDES
    )


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _is_text(name: str, value: Any) -> bool:
    return name != "type" and isinstance(value, str)


def _is_count(values: dict[str, Any], name: str) -> bool:
    value = values.get(name)
    return type(value) is int and 0 <= value <= MOST_TOKENS


def _count(values: dict[str, Any], name: str) -> int:
    return int(values[name]) if _is_count(values, name) else 0
