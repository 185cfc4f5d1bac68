"""Ids: lowercase ULIDs, which sort by the time they were made, monotonic within a process."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Callable
from typing import Final

from container.protocol import POOL_PREFIX

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, lowercase: digits and letters without i, l, o and u, in the order of ASCII."""

_RANDOM_BITS: Final = 80
_TIME_BITS: Final = 48
_LENGTH: Final = 26


class IdSource:
    """Makes ids that only grow, even when the clock stands still or goes back. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._last = 0
        self._lock = threading.Lock()

    def __call__(self) -> str:
        """A new id: 26 characters, 48 bits of milliseconds since the epoch, then 80 random bits."""
        now = int(self._clock() * 1000) & ((1 << _TIME_BITS) - 1)
        fresh = now << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        with self._lock:
            # A step of random size: the next id cannot be guessed from the last one.
            self._last = fresh if fresh > self._last else self._last + 1 + secrets.randbits(32)
            value = self._last
        return "".join(ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))


new_id: Final = IdSource()
"""The process's source of ids."""


def made_at(name: str) -> float:
    """When an id was made, in epoch seconds; 0 for what is none of our ids. A member of the pool has one too."""
    name = name.removeprefix(POOL_PREFIX)
    if len(name) != _LENGTH or not set(name) <= set(ALPHABET):
        return 0.0
    value = 0
    for letter in name:
        value = value << 5 | ALPHABET.index(letter)
    return float(value >> _RANDOM_BITS) / 1000


def instance_of(sandbox_secret: str) -> str:
    """Which deployment a gateway is of, for whoever deployed it (infra/targets/docker.py derives it too): 32
    hexadecimal digits that tell nothing of the secret, and that no other program can guess."""
    return hmac.digest(sandbox_secret.encode(), b"vaporforge: instance", "sha256").hex()[:32]
