"""Names of hosts as egress knows them: one spelling for each, exact names and `*.suffix` patterns. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MAX_NAME: Final = 253
"""Characters of a name (RFC 1035 section 2.3.4, without the root's dot)."""

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
"""Two labels or more (RFC 1123 section 2.1): one alone is a name of the local network."""

_NUMBER: Final = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")
"""A last label that resolvers take for a part of an IPv4 address, in whatever base (WHATWG URL, ends in a number)."""


class BadHost(ValueError):
    """What is no name of a host; the message says what it must be."""


def host_of(text: str) -> str:
    """The name in lower case without the root's dot. Raises `BadHost` for addresses in any spelling, names that are not
    ASCII (an IDN is written as `xn--…`), and whatever else is no host's name."""
    name = text.removesuffix(".")
    if not name.isascii():
        raise BadHost("the host must be in ASCII; an international name is written as xn--…")
    name = name.lower()
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise BadHost("the host must be a name such as pypi.org; an address is none")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        raise BadHost("the host must be a name; addresses are not reached")
    return name


def pattern_of(text: str) -> str:
    """`host_of`, or `*.` and that: every name below it, and not itself. Raises `BadHost`."""
    star, dot, rest = text.strip().partition(".")
    if star == "*" and dot:
        return f"*.{host_of(rest)}"
    return host_of(text.strip())


class Hosts:
    """Names and patterns; asking costs a look-up for each label."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns: Final = frozenset(patterns)

    def __contains__(self, host: object) -> bool:
        """Whether a name as `host_of` gives it is one of these, or below one of the patterns."""
        if not isinstance(host, str):
            return False
        if host in self.patterns:
            return True
        rest = host
        while "." in rest:
            rest = rest.partition(".")[2]
            if f"*.{rest}" in self.patterns:
                return True
        return False
