"""A sandbox as the JSON that launcher and `docker` driver exchange."""

from __future__ import annotations

from typing import Any

from gateway.sandboxes.drivers import Sandbox, SandboxState


def to_json(sandbox: Sandbox) -> dict[str, Any]:
    """`{session, state, host, port, startedAt, lostReason}`."""
    return {
        "session": sandbox.session,
        "state": sandbox.state.value,
        "host": sandbox.host,
        "port": sandbox.port,
        "startedAt": sandbox.started_at,
        "lostReason": sandbox.lost_reason,
    }


def from_json(data: dict[str, Any]) -> Sandbox:
    """The reverse of `to_json`; raises `KeyError` or `ValueError` when it is not that."""
    return Sandbox(
        session=data["session"],
        state=SandboxState(data["state"]),
        host=data["host"],
        port=data["port"],
        started_at=data["startedAt"],
        lost_reason=data["lostReason"],
    )
