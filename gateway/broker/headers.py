"""Headers of a sandbox's call and of its answer: whose key came, which credential goes, what comes back. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs
from multidict import CIMultiDict

from gateway.broker.request_policy import BETA_HEADER
from gateway.hops import hops_of

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

    from gateway.broker.redact import Redactor

OAUTH_BETA: Final = "oauth-2025-04-20"
"""The `anthropic-beta` that the API wants with an OAuth token, as the agent's own program sends it."""


def key_of(headers: CIMultiDictProxy[str]) -> str:
    """What a sandbox shows, in either of the API's two ways; empty when nothing."""
    scheme, _, bearer = headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return headers.get("x-api-key") or (bearer.strip() if scheme.lower() == "bearer" else "")


def authorize(headers: CIMultiDict[str], credential: str) -> None:
    """Put the credential in."""
    if credential.startswith("sk-ant-oat"):
        headers[hdrs.AUTHORIZATION] = f"Bearer {credential}"
        betas = [value for value in headers.popall(BETA_HEADER, []) if value]
        headers[BETA_HEADER] = ",".join([*betas, OAUTH_BETA])
    else:
        headers["x-api-key"] = credential


def returned(headers: CIMultiDictProxy[str], redactor: Redactor) -> CIMultiDict[str]:
    """An answer's headers for the sandbox."""
    left_out = hops_of(headers.getall(hdrs.CONNECTION, ())) | {"set-cookie"}
    return CIMultiDict(
        (name, redactor.text(value)) for name, value in headers.items() if name.lower() not in left_out
    )
