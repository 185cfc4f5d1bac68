"""Signed-in users whose page floods the gateway with tiny frames, on a run's WebSocket and on the relay."""

from __future__ import annotations

from functools import partial

from tests.attack.attack import Attack, Field, Found, counted
from tests.attack.scene import exert

SLOW_PROMPT = "count%20to%202000%20every%2020%20ms"
VIOLATION = "1002"
LASTING_SECONDS = 5.0
"""A flood that a connection bears for longer than this has no bound."""


async def floods(field: Field, *, frames: str, path: str) -> Found:
    """It must be closed soon; unmasked frames with 1002 (RFC 6455 section 5.1)."""
    async with field.session(warm=True) as session:
        prompt = f"&prompt={SLOW_PROMPT}" if path == "/api/sdk/ws" else ""
        seen = await exert(
            field.people,
            "flood",
            seconds=field.size.seconds,
            target=f"{path}?sessionId={session}{prompt}",
            headers=dict(field.headers),
            frames=frames,
            connections=2,
            rate=2e6,
        )
    faults = []
    if seen["longest"] > LASTING_SECONDS:
        faults.append(f"a connection that floods was kept for {seen['longest']:.1f} s")
    # One that had just begun when the time was up is open; one that lasts is a fault of its own. Who still sends when
    # the connection is gone may not come to read with what it was closed.
    if frames == "unmasked" and set(seen["closes"]) - {"open", "none"} != {VIOLATION}:
        faults.append(f"unmasked frames were answered with {counted(seen['closes'])}, not {VIOLATION}")
    return Found(f"{seen['frames']:,} frames; closed {counted(seen['closes'])}", faults)


ATTACKS = [
    Attack(
        "page",
        f"{frames} frames, {'relay' if path == '/relay' else 'run'}",
        "public",
        partial(floods, frames=frames, path=path),
    )
    for path in ("/api/sdk/ws", "/relay")
    for frames in ("empty", "byte", "object", "ping", "pong", "continuation", "unmasked")
]
