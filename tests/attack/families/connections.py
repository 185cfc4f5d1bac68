"""Connections that are kept: idle ones, readers that never read, headers, bodies and request lines that never end."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from tests.attack.attack import Attack, Field, Found, counted
from tests.attack.force.material import request, upgrade
from tests.attack.scene import exert

DEADLINE_SECONDS = 16.0
"""What sends without end is let go within some ten seconds."""

HALF_LINE_BYTES = 1_250_000
LONG_PROMPT = "count%20to%2020000%20every%200%20ms"
"""Two megabytes of frames: more than a connection whose other end does not read takes in."""

LONG_RUN_SECONDS = 10.0
"""It ends as soon as the run does."""

BODIES: Mapping[str, tuple[str, str]] = {
    "proxy": ("POST", "/api/sdk/ticket"),
    "public": ("POST", "/api/sdk/ticket"),
    "broker": ("POST", "/v1/messages"),
    "agent": ("PUT", "/pending/slow"),
    "launcher": ("PUT", "/sandboxes/slow"),
}


async def idle(field: Field, *, gate: str, sources: int) -> Found:
    """They say nothing. However many stay: good people come in."""
    seen = await _hold(
        field, gate, count=field.size.of(5000), seconds=field.size.seconds + 4, sources=sources
    )
    return _kept(seen)


async def keep_alive(field: Field, *, gate: str) -> Found:
    """Each asked once, and stays for the next question."""
    first = request("GET", "/api/version", {}).decode()
    seen = await _hold(field, gate, count=field.size.of(5000), seconds=field.size.seconds + 4, first=first)
    return _kept(seen)


async def slow_headers(field: Field, *, gate: str) -> Found:
    """A byte of a header every second."""
    first = request("GET", "/", {})[:-2].decode() + "X-Slow: "
    count = field.size.of(300)
    seen = await _hold(
        field,
        gate,
        count=count,
        seconds=_deadline(field),
        until_let_go=True,
        first=first,
        drip="x",
        every=1.0,
    )
    return _let_go(seen)


async def slow_bodies(field: Field, *, gate: str, signed_in: bool) -> Found:
    """A byte of a body every two seconds."""
    method, target = BODIES[gate]
    if not signed_in:
        return await _slow_bodies(field, gate, method, target, {})
    if gate != "broker":
        return await _slow_bodies(field, gate, method, target, field.headers)
    async with field.session(warm=True) as session:
        token = await field.scene.sandbox_token(session)
        return await _slow_bodies(field, gate, method, target, {"Authorization": f"Bearer {token}"})


async def _slow_bodies(field: Field, gate: str, method: str, target: str, signed: Mapping[str, str]) -> Found:
    head = {"Content-Type": "application/json", "Content-Length": "100000", **signed}
    first = request(method, target, head, b'{"').decode()
    count = field.size.of(300)
    seen = await _hold(
        field, gate, count=count, seconds=_deadline(field), until_let_go=True, first=first, drip="a"
    )
    return _let_go(seen)


async def half_lines(field: Field, *, gate: str) -> Found:
    """A request line of more than a megabyte that never ends."""
    seen = await _hold(
        field,
        gate,
        count=field.size.of(400),
        seconds=_deadline(field),
        until_let_go=True,
        rate=100.0,
        first="GET /",
        fill=max(65536, int(HALF_LINE_BYTES * min(1.0, field.size.scale * 10))),
    )
    found = _let_go(seen)
    return Found(f"{found.said}; {seen['sent'] / 1e6:.0f} MB taken", found.faults)


async def slow_readers(field: Field) -> Found:
    """They want a long run from its start, and never read."""
    async with field.session(warm=True) as session:
        target = f"/api/sdk/ws?sessionId={session}"
        await exert(
            field.people,
            "flood",
            seconds=LONG_RUN_SECONDS,
            target=f"{target}&prompt={LONG_PROMPT}",
            headers=dict(field.headers),
            attempts=1,
        )
        run = (await field.api.messages(session))[-1]["run"]
        first = upgrade(f"{target}&run={run}&after=0", field.headers).decode("latin-1")
        seen = await exert(
            field.people,
            "hold",
            count=field.size.of(500),
            seconds=field.size.seconds + 4,
            first=first,
            read=False,
            rate=250.0,
        )
    return _kept(seen)


def _deadline(field: Field) -> float:
    return max(DEADLINE_SECONDS, field.size.seconds)


async def _hold(field: Field, gate: str, **order: Any) -> dict[str, Any]:
    return await exert(field.scene.gates[gate], "hold", **order)


def _kept(seen: dict[str, Any]) -> Found:
    return Found(f"{seen['opened']} opened, {seen['refused']} refused, {seen['open']} open at the end")


def _let_go(seen: dict[str, Any]) -> Found:
    found = _kept(seen)
    if seen["open"]:
        found.faults.append(f"{seen['open']} of {seen['opened']} connections that never finish were kept")
    if seen["statuses"]:
        found.said += f"; {counted(seen['statuses'])}"
    return found


GATES = ("proxy", "public", "broker", "agent", "launcher")
ATTACKS = [
    *(
        Attack("idle connections", f"5,000 at {gate}", gate, partial(idle, gate=gate, sources=1))
        for gate in GATES
    ),
    Attack(
        "idle connections",
        "5,000 at public, 250 addresses",
        "public",
        partial(idle, gate="public", sources=250),
    ),
    *(
        Attack(
            "idle connections", f"5,000 at {gate}, each after a request", gate, partial(keep_alive, gate=gate)
        )
        for gate in ("proxy", "public")
    ),
    Attack("slow", "500 readers that never read", "public", slow_readers),
    *(Attack("slow", f"300 headers at {gate}", gate, partial(slow_headers, gate=gate)) for gate in GATES),
    *(
        Attack(
            "slow",
            f"300 bodies at {gate}{', signed in' if signed else ''}",
            gate,
            partial(slow_bodies, gate=gate, signed_in=signed),
        )
        for gate in GATES
        for signed in ((False, True) if gate in ("proxy", "public", "broker") else (False,))
    ),
    Attack(
        "slow", "400 half request lines of 1.25 MB at broker", "broker", partial(half_lines, gate="broker")
    ),
]
