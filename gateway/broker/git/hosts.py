"""Which git hosts and repositories there are for sandboxes: the stack's list, and what a user adds to it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.config import ConfigError

if TYPE_CHECKING:
    from gateway.config import Settings

SEGMENT: Final = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9_.~+-]{1,100}"
"""A part of a repository's path, as it stands in a URL: nothing in it is encoded, and none is `.` or `..`."""

REPOSITORY: Final = re.compile(rf"{SEGMENT}(?:/{SEGMENT}){{0,19}}")

_ENTRY: Final = re.compile(
    rf"(?P<scheme>https?://)?(?P<name>[a-z0-9](?:[a-z0-9.-]{{0,251}}[a-z0-9])?(?::[0-9]{{1,5}})?)(?:/(?P<below>{SEGMENT}(?:/{SEGMENT}){{0,18}}))?/?"
)
MUST: Final = (
    "a host such as github.com, with a port and a path where these are meant (git.example.com:8443/team); "
    "http:// before it where it has no TLS"
)


class BadGitHost(ValueError):
    """What is no entry of the list; the message says what it must be."""


@dataclass(frozen=True, slots=True)
class GitHost:
    """`name`: as it stands in a URL, with its port if that is another than usual. `url`: scheme and name. `below`:
    paths of which one must be a repository's beginning; empty: all repositories."""

    name: str
    url: str
    below: tuple[str, ...] = ()

    def has(self, repository: str) -> bool:
        """Whether the stack lets this one be reached."""
        return allows(self.below, repository)


def git_hosts_of(settings: Settings) -> Mapping[str, GitHost]:
    """The stack's. Raises `ConfigError` for an entry of VF_GIT_HOSTS that is none."""
    try:
        return git_hosts(settings.git_hosts)
    except BadGitHost as error:
        raise ConfigError(f"VF_GIT_HOSTS: {error}") from None


def git_hosts(entries: Iterable[str]) -> Mapping[str, GitHost]:
    """Hosts by their names. Raises `BadGitHost` naming the first bad entry."""
    found: dict[str, GitHost] = {}
    for entry in entries:
        read = _ENTRY.fullmatch(entry.strip().lower() if "/" not in entry else _lower_host(entry.strip()))
        if read is None:
            raise BadGitHost(f"{entry!r} is none; it must be {MUST}")
        name, below = read["name"], read["below"]
        url = f"{read['scheme'] or 'https://'}{name}"
        known = found.get(name)
        if known is not None and known.url != url:
            raise BadGitHost(f"{name} is there with TLS and without; it must be one of them")
        if known is not None and (not known.below or not below):
            found[name] = GitHost(name, url)
        else:
            found[name] = GitHost(name, url, (*(known.below if known else ()), *([below] if below else ())))
    return found


def allows(prefixes: Iterable[str], repository: str) -> bool:
    """Whether `repository` (`owner/name`, with or without `.git`) is one of these, or below one; without any, all
    are."""
    given = tuple(prefixes)
    path = repository.removesuffix(".git")
    return not given or any(path == one or path.startswith(f"{one}/") for one in map(_bare, given))


def _bare(prefix: str) -> str:
    return prefix.removesuffix("/*").removesuffix(".git").strip("/")


def _lower_host(entry: str) -> str:
    scheme, mark, rest = entry.rpartition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}{mark}{host.lower()}{slash}{path}"
