"""gzip bombs: 1 MB that unpacks to 1 GB, at every listener, with and without a token."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from tests.attack.attack import Attack, Field, Found, counted
from tests.attack.force.material import BODY_BYTES, MIB, request
from tests.attack.scene import exert

UNPACKED = 1024 * MIB
"""However small an attack is to be: the bytes on the wire are few."""

COUNT = 4
LINGER_SECONDS = 3.0

TARGETS: Mapping[str, tuple[str, str]] = {
    "proxy": ("POST", "/api/sdk/ticket"),
    "public": ("POST", "/api/sdk/ticket"),
    "broker": ("POST", "/v1/messages"),
    "agent": ("PUT", "/pending/bomb"),
    "launcher": ("PUT", "/sandboxes/bomb"),
}


async def bombs(field: Field, *, gate: str, signed_in: bool) -> Found:
    """The answer must come at once, be a refusal, and end the connection: nothing is unpacked to be thrown away."""
    if not signed_in:
        return await _bombs(field, gate, {})
    if gate != "broker":
        return await _bombs(field, gate, field.headers)
    async with field.session(warm=True) as session:
        token = await field.scene.sandbox_token(session)
        return await _bombs(field, gate, {"Authorization": f"Bearer {token}"})


async def _bombs(field: Field, gate: str, signed: Mapping[str, str]) -> Found:
    method, target = TARGETS[gate]
    head = request(
        method,
        target,
        {
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "Content-Length": BODY_BYTES,
            **signed,
        },
    ).decode("latin-1")
    seen = await exert(
        field.scene.gates[gate],
        "fire",
        seconds=field.size.seconds,
        requests=[head],
        count=COUNT,
        unpacked=UNPACKED,
        linger=LINGER_SECONDS,
    )
    faults = [
        *(
            f"a bomb was answered with {status}"
            for status in seen["answers"]
            if status.startswith(("2", "5", "late"))
        ),
        *(
            [f"{COUNT - seen['ended']} connections were kept after the answer"]
            if seen["ended"] < COUNT
            else []
        ),
    ]
    return Found(f"{counted(seen['answers'])}; {seen['ended']} ended by the server", faults)


ATTACKS = [
    Attack(
        "gzip bombs",
        f"4 at {gate}, {'signed in' if signed_in else 'no token'}",
        gate,
        partial(bombs, gate=gate, signed_in=signed_in),
    )
    for gate in TARGETS
    for signed_in in ((False, True) if gate in ("proxy", "public", "broker") else (False,))
]
