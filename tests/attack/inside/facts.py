"""What an attacker would have to find out first: told, so that a wall and not a secret is what is tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Of a stack as seen from one sandbox. `neighbours`: `(name, address)` of everybody else's sandboxes. `closed`:
    `(name, host, port)` of all that must not take a connection. `machine`: the addresses of the host, `published` the
    port that people come in by. `broker`: where it is. `secrets`: by name, what must be found nowhere inside."""

    neighbours: Sequence[tuple[str, str]]
    closed: Sequence[tuple[str, str, int]]
    machine: Sequence[str]
    published: int
    names: Sequence[str]
    server_pids: Sequence[int]
    secrets: Mapping[str, str]
    sandbox_token: str
    broker_token: str
    forged_token: str
    broker: tuple[str, int]
