"""An attacker's sandbox with an agent server of his own: what it answers to `/ping`, floods, and a stop it ignores."""

from __future__ import annotations

import asyncio
import json
import re
import time
from functools import partial

from tests.attack.attack import Attack, Field, Found, counted
from tests.attack.scene import exert

SNAPSHOT_SECONDS = 50.0
"""Longer than a sandbox may idle on loopback, and its snapshot takes."""

SNAPSHOT_MIB = 8.0
STOP_SECONDS = 20.0
"""A stop is kept within 10 s, whatever the sandbox does; the rest is for the sandbox's end: a container that ignores it
is given 5 s by the engine, and the engine time of its own."""


async def pings(field: Field, *, ping: str) -> Found:
    """`/ping` answers with something that must not be read to its end, or must not be parsed."""
    seconds = field.size.seconds
    async with (
        field.session(warm=True) as session,
        field.scene.hostile(session, {"seconds": seconds + 60, "ping": ping}),
    ):
        body = json.dumps({"sessionId": session, "prompt": "anything"}).encode()
        seen = await exert(
            field.people,
            "fire",
            seconds=seconds,
            requests=[field.post("/api/sdk/stream", body, field.headers)],
            count=1,
            linger=seconds,
        )
        faults = await _ended_by_stop(field, session)
    return Found(f"prompt answered {counted(seen['answers'])}", faults)


async def floods(field: Field, *, frames: str, path: str) -> Found:
    """Every WebSocket that the gateway opens is flooded; a reader of the attacker's takes what is handed on."""
    seconds = field.size.seconds
    async with (
        field.session(warm=True) as session,
        field.scene.hostile(session, {"seconds": seconds + 60, "frames": frames}),
    ):
        began = time.monotonic()
        seen = await exert(
            field.people,
            "flood",
            seconds=seconds,
            target=f"{path}?sessionId={session}" + ("&prompt=anything" if path == "/api/sdk/ws" else ""),
            headers=dict(field.headers),
            attempts=1,
        )
        took = time.monotonic() - began
        faults = await _ended_by_stop(field, session)
    return Found(f"reader after {min(took, seen['longest']):.1f} s: closed {counted(seen['closes'])}", faults)


async def hangs(field: Field) -> Found:
    """It takes the prompt, says nothing, and ignores the stop."""
    async with (
        field.session(warm=True) as session,
        field.scene.hostile(session, {"seconds": field.size.seconds + 60}),
    ):
        await exert(
            field.people,
            "flood",
            seconds=2.0,
            target=f"/api/sdk/ws?sessionId={session}&prompt=anything",
            headers=dict(field.headers),
            attempts=1,
        )
        began = time.monotonic()
        faults = await _ended_by_stop(field, session)
        took = time.monotonic() - began
    return Found(
        f"{took:.1f} s from the stop to the end" if not faults else f"still on after {took:.0f} s", faults
    )


async def snapshots(field: Field) -> Found:
    """It idles, it says, and its snapshot is a gzip bomb."""
    return await stored_in(field, SNAPSHOT_SECONDS)


async def stored_in(field: Field, seconds: float) -> Found:
    """What the stack stores of a replaced agent server's snapshots, each of them a bomb, in this time; and whether it
    took one at all, by the gateways' log."""
    before = await field.scene.stored_mib()
    most = 0.0
    async with (
        field.session(warm=True) as session,
        field.scene.hostile(session, {"seconds": seconds + 10, "snapshot": True}),
    ):
        written = await field.scene.log_from_now()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            most = max(most, await field.scene.stored_mib() - before)
            await asyncio.sleep(0.2)
        refused = refusals(session, await written())
    faults = [f"{most:.0f} MiB were stored"] if most > SNAPSHOT_MIB else []
    if not refused:
        faults.append("no snapshot was asked for, so that nothing is shown")
    return Found(f"asked for and refused {refused} times, {most:.1f} MiB stored", faults)


def refusals(session: str, log: bytes) -> int:
    """How many snapshots of this session the gateways say that they asked for, were answered, and did not keep."""
    told = (
        rf"session {re.escape(session)}: (?:not reaped: An answer is encoded|no snapshot: |snapshot failed)"
    )
    return len(re.findall(told.encode(), log))


async def _ended_by_stop(field: Field, session: str) -> list[str]:
    run = (await field.api.session(session))["activeRun"]
    if run is None:
        return []
    await field.api.stop(session, run)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if (await field.api.session(session))["activeRun"] is None:
            return []
        await asyncio.sleep(0.3)
    return [f"the attacker's run was stopped and is still on after {STOP_SECONDS:.0f} s"]


ATTACKS = [
    *(
        Attack("hostile agent server", f"/ping: {name}", "public", partial(pings, ping=ping))
        for ping, name in {
            "plain": "400 MB",
            "gzip": "400 MB, gzip",
            "endless": "endless",
            "deep": "`[[[[`",
        }.items()
    ),
    *(
        Attack(
            "hostile agent server",
            f"{frames} frames, run",
            "public",
            partial(floods, frames=frames, path="/api/sdk/ws"),
        )
        for frames in ("empty", "byte", "ping", "pong", "continuation")
    ),
    *(
        Attack(
            "hostile agent server",
            f"{frames} frames, relay",
            "public",
            partial(floods, frames=frames, path="/relay"),
        )
        for frames in ("empty", "byte", "ping", "pong", "continuation")
    ),
    Attack("hostile agent server", "says nothing, ignores Stop", "public", hangs),
    Attack("hostile agent server", "/snapshot: 1 GB, gzip", "blobs", snapshots),
]
