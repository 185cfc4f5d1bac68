"""Who asks, as git names people: from a token's claims, fit for a line of git's configuration and of a commit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.model import Author

MAX_NAME_CHARS: Final = 100
MAX_EMAIL_CHARS: Final = 254
"""Longest address that mail takes (RFC 5321 section 4.5.3.1.3, less the angle brackets)."""

NOBODY: Final = "noreply.invalid"
"""The domain of addresses for those of whom none is known: no mail ever goes there (RFC 2606 section 2)."""

_EMAIL: Final = re.compile(r"[^\s<>@\"\\]+@[^\s<>@\"\\]+")
_NO_NAME: Final = re.compile(r"[<>\"\\]")
_EDGE: Final = " .,:;'"
"""What git itself takes off the ends of a name."""


def author_of(claims: Mapping[str, Any]) -> Author:
    """The person of a token: its `name` and `email` (unless `email_verified` is false), else made from its `sub`."""
    user = str(claims["sub"])
    email = "" if claims.get("email_verified") is False else _email(claims.get("email"))
    return Author(
        name=_name(claims.get("name")) or _name(user) or "user",
        email=email or _email(user) or f"{_local_part(user)}@{NOBODY}",
    )


def _name(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    printable = "".join(sign if sign.isprintable() else " " for sign in _NO_NAME.sub(" ", value))
    return " ".join(printable.split())[:MAX_NAME_CHARS].strip(_EDGE)


def _email(value: Any) -> str:
    fits = isinstance(value, str) and len(value) <= MAX_EMAIL_CHARS and value.isprintable()
    return value if fits and _EMAIL.fullmatch(value) else ""


def _local_part(user: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", user)[:64].strip("-.") or "user"
