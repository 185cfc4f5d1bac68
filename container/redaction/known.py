"""Which values a sandbox, or a gateway, knows to be secrets: those of the environment and of MCP servers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_SECRET_NAME: Final = re.compile(
    r"(?:^|[_.-])(?:API_?KEY|ACCESS_?KEY|KEY|TOKENS?|SECRETS?|PASS(?:WORD|WD|PHRASE)?|PWD|AUTH|AUTHORIZATION|CREDENTIALS?|"
    r"COOKIE|PAT|DSN)(?:$|[_.-])|(?:apikey|token|secret|password)$",
    re.IGNORECASE,
)
"""Names of variables and header fields whose values are secrets."""

_NOT_SECRET: Final = frozenset({"PWD", "OLDPWD", "GPG_KEY", "SSH_AUTH_SOCK"})
"""Folders, sockets, and a key that the base image tells everybody, by names that would say otherwise."""

_OURS: Final = "VF_"
"""How names of the agent server's own variables begin: ids and models look random and are no secrets."""

_RANDOM: Final = re.compile(r"[A-Za-z0-9_+=.~-]{20,}")
_UNBROKEN: Final = re.compile(r"[A-Za-z0-9]{16,}")
_HEX: Final = re.compile(r"[0-9a-f]*|[0-9A-F]*")
"""A value that nobody chose by hand, whatever its name: no path, address or sentence, with sixteen letters and digits
in a row that are not hexadecimal alone. Versions, models and hosts have shorter rows; what is hexadecimal and is not
called a secret is a commit or a checksum more often."""

_PLACE: Final = re.compile(r"(?:/[a-z0-9._@-]+){2,}/?|[a-z+]+://[^\s@?]*")
"""The path of a file, or an address without a user and without a query: where a secret is, not what it is."""

_WITH_PASSWORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:([^\s/@]+)@")
"""An address with a password in it (RFC 3986, section 3.2.1)."""

_SCHEME: Final = re.compile(r"(?:Bearer|Basic|Token)\s+(?=\S)", re.IGNORECASE)

LEAST: Final = 8
LEAST_LETTERS: Final = 16
"""Letters alone are a word more often than a secret: `production` in every text is not to be struck."""


def is_secret(name: str, value: str) -> bool:
    """Whether a value is to be struck wherever it is said."""
    if len(value) < LEAST or name in _NOT_SECRET or (value.isalpha() and len(value) < LEAST_LETTERS):
        return False
    if _SECRET_NAME.search(name) is not None:
        return _PLACE.fullmatch(value) is None
    return not name.startswith(_OURS) and _RANDOM.fullmatch(value) is not None and _has_random_row(value)


def _has_random_row(value: str) -> bool:
    rows: list[str] = _UNBROKEN.findall(value)
    return any(not row.isalpha() and not row.isdigit() and _HEX.fullmatch(row) is None for row in rows)


def secrets_of(named: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Secret values and what their strikes say: the variable's name. An Authorization header's scheme is none of it; of
    an address the password is."""
    for name, given in named.items():
        if not isinstance(given, str):
            continue
        value = _SCHEME.sub("", given.strip(), count=1)
        shown = re.sub(r"[^\w.-]", "?", name[:40], flags=re.ASCII)
        if is_secret(name, value):
            yield value, shown
        for password in _WITH_PASSWORD.findall(value):
            if len(password) >= LEAST:
                yield password, shown


def secrets_of_servers(servers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Those of MCP servers `{name: config}`, in `env` and `headers`, which settings mask too."""
    for config in servers.values():
        for part in ("env", "headers"):
            named = config.get(part) if isinstance(config, Mapping) else None
            if isinstance(named, Mapping):
                yield from secrets_of(named)
