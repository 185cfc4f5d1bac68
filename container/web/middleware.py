"""What every request meets first: its token is asked for, and an error becomes JSON."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from container.errors import AgentServerError, BadRequest, PayloadTooLarge, Unauthorized, UnsupportedEncoding
from container.listener.refusals import encoding_of
from container.runs.query import MAX_QUERY_BYTES
from container.web.app_keys import OCCUPANT

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error is `{error, code, field?}` with its status."""
    try:
        if encoding_of(request):
            raise UnsupportedEncoding("Bodies are taken as they are; send it without Content-Encoding.")
        return await handler(request)
    except AgentServerError as error:
        if error.status >= 500:
            log.warning("%s %s: %s", request.method, request.path, error.message)
        return web.json_response(error.body(), status=error.status)
    except web.RequestPayloadError:
        broken = BadRequest("The body broke off or is malformed.", field="body")
        return web.json_response(broken.body(), status=broken.status)
    except web.HTTPRequestEntityTooLarge:
        too_large = PayloadTooLarge(f"The body may have {MAX_QUERY_BYTES:,} bytes.", field="body")
        return web.json_response(too_large.body(), status=too_large.status)
    except web.HTTPException as error:
        code = "not-found" if error.status == 404 else "bad-request"
        body = {"error": f"{request.method} {request.path}: {error.reason}.", "code": code}
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return web.json_response(body, status=error.status, headers=headers)
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return web.json_response({"error": "The agent server failed.", "code": "internal"}, status=500)


@web.middleware
async def bearer_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Everything but `/ping` and `/claim`, which see to it themselves, and `/proof`, which comes before it, needs this
    sandbox's token, or the agent's where it is the agent's own way in; nothing else is looked at before. One that waits
    in the pool is nobody's, and open to nobody."""
    if request.path not in ("/ping", "/proof", "/claim") and (
        request.app[OCCUPANT].waits or not _may_enter(request)
    ):
        raise Unauthorized("The sandbox's token is needed: Authorization: Bearer <sandbox token>.")
    return await handler(request)


def has_token(request: web.Request) -> bool:
    """Whether the request carries this sandbox's token."""
    return _carries(request, request.app[OCCUPANT].token)


def _may_enter(request: web.Request) -> bool:
    if request.path == "/relay" and request.query.get("inner") == "1":
        return has_token(request) or _carries(request, request.app[OCCUPANT].relay_token)
    return has_token(request)


def _carries(request: web.Request, token: str) -> bool:
    expected = f"Bearer {token}".encode()
    given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
    return hmac.compare_digest(given, expected)
