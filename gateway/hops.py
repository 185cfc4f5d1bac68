"""HTTP headers that are between two neighbours, and go no further (RFC 9110 section 7.6.1). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""In lower case, as all names here. What a `Connection` header names is added to it (`hops_of`)."""


def hops_of(connection: Iterable[str]) -> frozenset[str]:
    """Those of a message whose `Connection` headers are these."""
    named = (part.strip().lower() for value in connection for part in value.split(","))
    return HOP_BY_HOP | frozenset(name for name in named if name)
