"""Errors as the model's API words its own: `{"type": "error", "error": {"type", "message"}}`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import hdrs, web

if TYPE_CHECKING:
    from gateway.errors import VaporForgeError

_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
}


def api_error(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer."""
    if status == 429:
        headers = {hdrs.RETRY_AFTER: "1", **(headers or {})}
    return web.json_response(_body(status, message), status=status, headers=headers)


def error_event(refusal: VaporForgeError) -> bytes:
    """The event with which the API itself ends a stream that fails."""
    return b"event: error\ndata: %s\n\n" % orjson.dumps(_body(refusal.status, refusal.message))


def _body(status: int, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": _TYPES.get(status, "api_error"), "message": message}}
