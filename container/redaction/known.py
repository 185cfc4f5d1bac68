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

_NOT_SECRET: Final = frozenset({"PWD", "OLDPWD", "VF_SESSION", "VF_START", "GPG_KEY", "PYTHON_SHA256"})
"""Folders, names, and what the base image tells everybody: a word that begins like one would be held back too."""

_RANDOM: Final = re.compile(r"(?=[^\s]*[0-9])(?=[^\s]*[A-Za-z])[A-Za-z0-9_+=.~-]{20,}")
"""A value that nobody chose by hand, whatever its name: letters and digits, and no path, address or sentence."""

_SCHEME: Final = re.compile(r"(?:Bearer|Basic|Token)\s+(?=\S)", re.IGNORECASE)

LEAST: Final = 8
LEAST_LETTERS: Final = 16
"""Letters alone are a word more often than a secret: `production` in every text is not to be struck."""


def is_secret(name: str, value: str) -> bool:
    """Whether a value is to be struck wherever it is said."""
    if len(value) < LEAST or name in _NOT_SECRET or (value.isalpha() and len(value) < LEAST_LETTERS):
        return False
    return _SECRET_NAME.search(name) is not None or _RANDOM.fullmatch(value) is not None


def secrets_of(named: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Secret values and what their strikes say: the variable's name. An Authorization header's scheme is none of it."""
    for name, given in named.items():
        value = _SCHEME.sub("", given.strip(), count=1) if isinstance(given, str) else ""
        if is_secret(name, value):
            yield value, re.sub(r"[^\w.-]", "?", name[:40], flags=re.ASCII)


def secrets_of_servers(servers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Those of MCP servers `{name: config}`, in `env` and `headers`, which settings mask too."""
    for config in servers.values():
        for part in ("env", "headers"):
            named = config.get(part) if isinstance(config, Mapping) else None
            if isinstance(named, Mapping):
                yield from secrets_of(named)
