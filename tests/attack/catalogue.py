"""All attacks from outside, in the order in which they are made; those from inside a sandbox get their own list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.attack.attack import Attack
from tests.attack.families import api_tools, bombs, connections, disk, held, hostile, inside, pages, requests

OUTSIDE: Sequence[Attack] = (
    *bombs.ATTACKS,
    *hostile.ATTACKS,
    *pages.ATTACKS,
    *connections.ATTACKS,
    *requests.ATTACKS,
    *api_tools.ATTACKS,
    *held.ATTACKS,
)

INSIDE: Sequence[Attack] = (*inside.ATTACKS, *disk.ATTACKS)


def chosen(attacks: Iterable[Attack], only: Sequence[str], gates: Iterable[str]) -> list[Attack]:
    """Those whose listener is there, and whose family or name has one of the words of `only` in it (none: all)."""
    there = set(gates)
    return [
        attack
        for attack in attacks
        if attack.gate in there
        and (not only or any(word.lower() in attack.full_name.lower() for word in only))
    ]
