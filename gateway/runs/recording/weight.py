"""How much of a computation a sandbox's message is, before it is parsed. Pure."""

from __future__ import annotations

from typing import Final

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
