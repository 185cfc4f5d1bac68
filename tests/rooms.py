"""The rooms of the house and the floor each is on; imports between them point down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FLOORS: Final[Mapping[str, tuple[str, ...]]] = {
    "gateway": (
        "wiring",
        "web",
        "web.terminals",
        "web.files | web.streams",
        "web.request",
        "runs",
        "runs.recording",
        "sandboxes | sandboxes.pool | launcher",
        "launcher.disk",
        "sandboxes.drivers | broker | egress",
        "broker.metering",
        "quotas",
        "store",
        "store.blobs | concurrency | websocket | audit",
        "words",
    ),
    "container": (
        "wiring",
        "web",
        "files | workspace",
        "runs",
        "agents | terminals",
        "agent",
        "listener | redaction",
        "words",
    ),
    "infra": (
        "cli",
        "wiring | plugin",
        "targets",
        "components.docker | components.aws",
        "cost",
        "rules",
        "words",
    ),
}
"""From the top down; rooms on one floor do not import each other. `wiring` and `words` are modules of the package's own
folder: what puts the parts together, and what all of them speak of."""

WIRING: Final[Mapping[str, frozenset[str]]] = {
    "gateway": frozenset({"__main__", "app", "serve", "dev", "healthcheck"}),
    "container": frozenset({"__main__"}),
    "infra": frozenset({"__main__", "program"}),
}


def room_of(module: str) -> tuple[str, str]:
    """The package and the room of a module. Raises KeyError for one in no room: FLOORS wants a line for it."""
    package, _, rest = module.partition(".")
    rooms = {room for floor in FLOORS[package] for room in floor.split(" | ")}
    inner = rest
    while inner:
        if inner in rooms:
            return package, inner
        inner = inner.rpartition(".")[0]
    if "." in rest:
        raise KeyError(f"{module} is in no room of tests/rooms.py")
    return package, "wiring" if rest in WIRING[package] else "words"


def floor_of(package: str, room: str) -> int:
    """How high a room is; 0 is the ground."""
    floors = FLOORS[package]
    return next(len(floors) - at for at, floor in enumerate(floors) if room in floor.split(" | "))
