"""What sandboxes may reach, by the stack's settings and what a session's owner has allowed. Pure."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.config import ConfigError
from gateway.egress.hosts import BadHost, Hosts, pattern_of

if TYPE_CHECKING:
    from gateway.config import Settings

PRESETS: Final = Path(__file__).with_name("presets.json")
"""Hosts of package registries and of git hosts, by names that settings may use; infra reads it too."""

TLS_PORT: Final = 443
HTTP_PORT: Final = 80

MOST_ALLOWED: Final = 64
"""Hosts that a session's owner may add."""


class Level(StrEnum):
    """How much is reached: nothing; the package registries; what is listed; every public address."""

    NONE = "none"
    REGISTRIES = "registries"
    LIST = "list"
    ALL = "all"


class Blocked(StrEnum):
    """Why a host is not reached: `reason` of an `egress-blocked` frame."""

    HOST = "host"
    """It is not on the list."""
    PORT = "port"
    """Only 443 is reached by TLS, and 80 by HTTP."""
    ADDRESS = "address"
    """Its name leads to an address that is not public."""
    NAME = "name"
    """What was said in the TLS handshake is not the name that was asked for."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`blocked`: why not, None where it may pass. `own`: it passes only because the session's owner has allowed it;
    `learned`: because the stack learns."""

    blocked: Blocked | None = None
    own: bool = False
    learned: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """`learns`: all that addresses allow passes, and what would not is told. `asks`: whether a session's owner may
    allow a host."""

    level: Level
    hosts: Hosts
    learns: bool
    asks: bool

    @property
    def names_matter(self) -> bool:
        """Whether the name in a TLS handshake must be the one that was asked for: where any may be reached it says
        nothing."""
        return self.level is not Level.ALL

    def judge(self, host: str, port: int, *, tunnel: bool, allowed: Iterable[str] = ()) -> Verdict:
        """Whether `host` (as `host_of` gives it) may be reached at `port`, by a tunnel or else by plain HTTP;
        `allowed`: what the session's owner has added, which counts where owners may."""
        if self.level is Level.ALL:
            return Verdict()
        if self.level is Level.NONE:
            return Verdict(Blocked.HOST)
        if port != (TLS_PORT if tunnel else HTTP_PORT):
            return Verdict(Blocked.PORT)
        if host in self.hosts:
            return Verdict()
        if self.asks and host in allowed:
            return Verdict(own=True)
        return Verdict(learned=True) if self.learns else Verdict(Blocked.HOST)


def policy_of(settings: Settings) -> Policy:
    """The stack's. Raises `ConfigError` for an entry of VF_EGRESS_ALLOW that is none."""
    level = Level(settings.egress)
    named = ["registries"] if level is Level.REGISTRIES else []
    try:
        hosts = Hosts(expand([*named, *settings.egress_allow]))
    except BadHost as error:
        raise ConfigError(f"VF_EGRESS_ALLOW: {error}") from None
    return Policy(
        level=level,
        hosts=hosts,
        learns=settings.egress_learn,
        asks=settings.egress_session_allow and level in (Level.REGISTRIES, Level.LIST),
    )


def expand(entries: Sequence[str]) -> list[str]:
    """The patterns that hosts, patterns and names of presets stand for. Raises `BadHost` naming the first bad one."""
    groups, presets = known_presets()
    found: list[str] = []
    for entry in entries:
        names = groups.get(entry, (entry,))
        for name in names:
            if name in presets:
                found += presets[name]
                continue
            try:
                found.append(pattern_of(name))
            except BadHost as error:
                known = ", ".join([*groups, *presets])
                raise BadHost(f"{name!r} is no host and no preset: {error}; presets are {known}") from None
    return found


@functools.cache
def known_presets() -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Presets by the name of their group, and hosts by the name of their preset."""
    kept = json.loads(PRESETS.read_text())
    return (
        {name: tuple(of) for name, of in kept["groups"].items()},
        {name: tuple(of) for name, of in kept["presets"].items()},
    )
