"""A sandbox as the JSON that launcher and `docker` driver exchange."""

from __future__ import annotations

import math
from typing import Any, Final

from gateway.sandboxes.drivers import Disk, Sandbox, SandboxState

NAME_START: Final = "VF-Name-Start"
"""The header by which a gateway that knows keys of one start has the launcher name it: a launcher of before, which
takes no parameters, does not mind it."""


def to_json(sandbox: Sandbox) -> dict[str, Any]:
    """`{session, state, host, port, startedAt, lostReason, start}`."""
    return {
        "session": sandbox.session,
        "state": sandbox.state.value,
        "host": sandbox.host,
        "port": sandbox.port,
        "startedAt": sandbox.started_at,
        "lostReason": sandbox.lost_reason,
        "start": sandbox.start,
    }


def from_json(data: Any) -> Sandbox:
    """The reverse of `to_json`; raises `ValueError` naming the field when it is not that."""
    if not isinstance(data, dict):
        raise ValueError("a sandbox must be a JSON object")  # noqa: TRY004 - one kind of error for what is none
    started_at = _field(data, "startedAt", int, float)
    if not math.isfinite(started_at):
        raise ValueError("startedAt must be a time")
    return Sandbox(
        session=_field(data, "session", str),
        state=SandboxState(_field(data, "state", str)),
        host=_field(data, "host", str),
        port=_field(data, "port", int),
        started_at=started_at,
        lost_reason=_field(data, "lostReason", str),
        start=_field({"start": "", **data}, "start", str),  # a launcher of before tells none
    )


def disk_to_json(disk: Disk) -> dict[str, Any]:
    """`{low, freeBytes, reserveBytes, freeInodes, reserveInodes, over}`."""
    return {
        "low": disk.low,
        "freeBytes": disk.free_bytes,
        "reserveBytes": disk.reserve_bytes,
        "freeInodes": disk.free_inodes,
        "reserveInodes": disk.reserve_inodes,
        "over": disk.over,
    }


def disk_from_json(data: dict[str, Any]) -> Disk:
    """The reverse of `disk_to_json`; raises `ValueError` naming the field when it is not that."""
    return Disk(
        low=_field(data, "low", bool),
        free_bytes=_field(data, "freeBytes", int),
        reserve_bytes=_field(data, "reserveBytes", int),
        free_inodes=_field(data, "freeInodes", int),
        reserve_inodes=_field(data, "reserveInodes", int),
        over=_field(data, "over", int),
    )


def _field(data: dict[str, Any], name: str, *types: type) -> Any:
    value = data.get(name)
    if type(value) not in types:
        raise ValueError(f"{name} must be {types[0].__name__}")
    return value
