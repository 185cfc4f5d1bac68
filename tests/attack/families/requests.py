"""Floods of bad requests: upgrades with a bad token, and what is no HTTP, which must not fill or taint the log."""

from __future__ import annotations

import secrets
from functools import partial

from tests.attack.attack import Attack, Field, Found, counted
from tests.attack.force.material import request, upgrade
from tests.attack.scene import exert

UPGRADES = 15_000
MALFORMED = 10_000
LOG_BYTES = 65536
"""What a flood may leave in the logs of all services."""


async def bad_upgrades(field: Field, *, gate: str) -> Found:
    """Each must be refused, and cost little."""
    count = field.size.of(UPGRADES)
    ask = upgrade("/api/sdk/ws?sessionId=nobody", {"Authorization": "Bearer not.a.token"}).decode("latin-1")
    seen = await exert(
        field.scene.gates[gate],
        "fire",
        seconds=max(15.0, field.size.seconds) if field.size.scale == 1 else field.size.seconds,
        requests=[ask],
        count=count,
        rate=1000.0,
    )
    # The proxy closes on an address that has had its sentence often enough.
    allowed = {"401", "429", "503", *(("none",) if gate == "proxy" else ())}
    wrong = seen["answers"].keys() - allowed
    faults = [f"some were answered with {status}" for status in sorted(wrong)]
    return Found(f"{seen['asked']} in {seen['seconds']:.0f} s; {counted(seen['answers'])}", faults)


async def malformed(field: Field, *, gate: str) -> Found:
    """No byte of them may come into a log, and the log stays small."""
    mark = f"secret-{secrets.token_hex(8)}"
    written = await field.scene.log_from_now()
    seen = await exert(
        field.scene.gates[gate],
        "fire",
        seconds=field.size.seconds,
        requests=[form.replace("MARK", mark) for form in FORMS],
        count=field.size.of(MALFORMED),
        rate=2000.0,
    )
    log = await written()
    faults = [f"some were answered with {status}" for status in seen["answers"] if status.startswith("5")]
    if mark.encode() in log:
        faults.append(f"{log.count(mark.encode())} times the bytes of a request are in the log")
    if len(log) > LOG_BYTES:
        faults.append(f"{len(log) / 1024:.0f} KiB came into the logs")
    if b"Traceback" in log:
        faults.append("there are tracebacks in the log")
    return Found(f"{seen['asked']} asked, {counted(seen['answers'])}; log +{len(log) / 1024:.0f} KiB", faults)


FORMS = [
    request("GET", "/api/sessions", {"Authorization": "Bearer MARK\0"}).decode("latin-1"),
    request("GET", "/api/sdk/ws?token=MARK\x01", {}).decode("latin-1"),
    "GET / MARK\r\n\r\n",
    "MARK MARK MARK\r\n\r\n",
    "\x16\x03\x01\x02\x00MARK\r\n\r\n",
    request("POST", "/api/sessions", {"Content-Length": "MARK"}).decode("latin-1"),
    "GET /api/sessions HTTP/1.1\r\nHost: gateway\r\nMARK without a colon\r\n\r\n",
]

ATTACKS = [
    *(
        Attack(
            "bad requests",
            f"15,000 upgrades with a bad token at {gate}",
            gate,
            partial(bad_upgrades, gate=gate),
        )
        for gate in ("proxy", "public")
    ),
    *(
        Attack("bad requests", f"10,000 malformed at {gate}", gate, partial(malformed, gate=gate))
        for gate in ("proxy", "public", "broker")
    ),
]
