"""Names of the model's API, as settings list them (gateway/broker/request_policy.py lets them through)."""

from __future__ import annotations

from typing import Any, Final

from infra.values import text

_NAME: Final = "[A-Za-z0-9_-]{1,128}"

_OWN: Final = "|".join(
    (
        *("accept-encoding", "anthropic-beta", "authorization", "connection", "content-encoding"),
        *("content-length", "content-type", "cookie", "expect", "host", "keep-alive", "proxy-authenticate"),
        *("proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        "x-api-key",
    )
)
"""Headers that the broker writes itself or never sends (gateway/config.py, OWN_HEADERS)."""


def api_names(example: str) -> Any:
    """A field that is names of the model's API, separated by commas."""
    return text("", rf"{_NAME}(?:\s*,\s*{_NAME})*", f"names such as {example}, separated by commas")


def api_headers() -> Any:
    """A field that is names of request headers, none of them the broker's own."""
    name = rf"(?!(?i:{_OWN})(?:\s|,|$)){_NAME}"
    return text(
        "",
        rf"{name}(?:\s*,\s*{name})*",
        "names of headers, separated by commas, and none that the broker writes itself, such as x-api-key",
    )
