"""Cuts a frame that is too long to the limit, keeping as much of it as fits, and says so in it."""

from __future__ import annotations

import math
import re
from typing import Any

from container.protocol import MAX_BODY_BYTES, decode, encode


class _Cutter:
    """One pass over a JSON value that keeps strings to `cap` characters, and at most `nodes` values, 64 deep."""

    def __init__(self, cap: int, nodes: int) -> None:
        self._cap, self._nodes = cap, nodes

    def cut(self, value: Any, depth: int = 0) -> Any:
        self._nodes -= 1
        if isinstance(value, str):
            return value[: self._cap]
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if not isinstance(value, dict | list):
            return value
        if depth == 64:
            return None
        if isinstance(value, list):
            items = []
            for item in value:
                if self._nodes <= 0:
                    break
                items.append(self.cut(item, depth + 1))
            return items
        fields = {}
        for key, item in value.items():
            if self._nodes <= 0:
                break
            fields[key[: self._cap]] = self.cut(item, depth + 1)
        return fields


def cut_object(frame: dict[str, Any], full_bytes: int, limit: int = MAX_BODY_BYTES) -> bytes:
    """`frame` encoded in at most `limit` (>= 256) bytes: its longest strings shortened first, then values left out,
    `type` always kept; with `"truncated":true,"fullBytes":full_bytes`."""
    mark = {"truncated": True, "fullBytes": full_bytes}
    kind = str(frame.get("type", ""))[:64]
    if "type" in frame:
        frame = {"type": kind, **frame} | {"type": kind}  # first, so that it is the last to go
    for halvings in range(limit.bit_length()):
        # No value takes fewer than two bytes, so the first pass leaves out nothing that could have stayed.
        frame = _Cutter(max(64, limit >> halvings), max(2, (limit // 2) >> halvings)).cut(frame)
        cut = encode({**frame, **mark})
        if len(cut) <= limit:
            return cut
    return encode({"type": re.sub(r"[^\w-]", "?", kind, flags=re.ASCII), **mark})


def cut_frame(line: bytes, limit: int = MAX_BODY_BYTES) -> bytes:
    """`line`, a JSON object's bytes, as it is when it has at most `limit` bytes, else cut to them by `cut_object`.

    Raises ValueError when it must be cut and is not a JSON object.
    """
    return line if len(line) <= limit else cut_object(decode(line), len(line), limit)
