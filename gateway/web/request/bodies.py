"""JSON bodies of requests, read within a limit, and the JSON that goes back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from gateway.errors import PayloadTooLarge
from gateway.fields import dumps, parse_object

MAX_BODY_BYTES: Final = 1_310_720
"""Longest request body, where a route does not say otherwise: JSON may spell each character of a prompt as a surrogate
pair of twelve bytes."""


async def read_json(request: web.Request, limit: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """The request's body, a JSON object of at most `limit` bytes; no body at all is `{}`.

    Raises `BadRequest` and `PayloadTooLarge`.
    """
    too_large = PayloadTooLarge(f"The body may have at most {limit} bytes")
    if (request.content_length or 0) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise too_large
    return parse_object(bytes(body)) if body else {}


def iso(seconds: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_response(value: Any, status: int = 200) -> web.Response:
    """`value` as a JSON response."""
    return web.Response(body=dumps(value), status=status, content_type="application/json")
