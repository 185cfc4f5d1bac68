"""Around every request: errors become JSON, browsers get their security headers, and one line is logged."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Final, NoReturn

from aiohttp import hdrs, web
from aiohttp.abc import AbstractAccessLogger

from container.listener.refusals import Refusal, encoding_of
from gateway.errors import BadRequest, NotFound, TooMany, UnsupportedEncoding, VaporForgeError
from gateway.web.request.app_keys import STATS
from gateway.web.request.audited import refused
from gateway.web.request.bodies import json_response
from gateway.web.request.clients import client_of, vouch_for
from gateway.web.request.paths import is_api

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

logger = logging.getLogger(__name__)

POLICY: Final = "Content-Security-Policy"
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""`connect-src 'self'` takes in the page's own WebSockets (Content Security Policy Level 3, section 6.7.2.8)."""

SECURITY_HEADERS: Final = {
    "Server": "VaporForge",
    POLICY: CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

QUIET_PATHS: Final = frozenset({"/api/health", "/api/ready"})
"""Asked every second by the proxy and Docker: logged at DEBUG only."""

RETRIED: Final = frozenset({429, 503})
"""Answers that tell when to ask again."""

_STARTED: web.RequestKey[bool] = web.RequestKey("started")


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """`on_response_prepare`: the security headers, and nothing of the API in a cache. The page has a policy that
    names the one script within it."""
    request[_STARTED] = True
    policy = response.headers.get(POLICY, CONTENT_SECURITY_POLICY)
    response.headers.update({**SECURITY_HEADERS, POLICY: policy})
    if is_api(request):
        response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn errors into `{error, code, field?}` with their status, as long as no response has begun."""
    try:
        vouch_for(request)
        if encoding_of(request):
            if stats := request.app.get(STATS):
                stats.turned_away[Refusal.ENCODED] += 1
            raise UnsupportedEncoding("Bodies are taken as they are; send it without Content-Encoding")
        return await handler(request)
    except web.RequestPayloadError:
        return error_response(BadRequest("The body broke off or is malformed"))
    except VaporForgeError as error:
        refused(request, error)
        if request.get(_STARTED):
            _abort(request, error)
        return error_response(error)
    except web.HTTPException as error:
        if request.get(_STARTED) or not is_api(request) or error.status < 400:
            raise
        return _http_error(request, error)
    except Exception as error:
        if isinstance(error, ConnectionError) and (
            request.transport is None or request.transport.is_closing()
        ):
            raise  # The client has gone; there is nobody to answer.
        number = secrets.token_hex(8)
        logger.exception("request %s failed: %s %s", number, request.method, _path(request))
        failure = VaporForgeError(f"Something failed here; the gateway's log has the details under {number}")
        if request.get(_STARTED):
            _abort(request, failure)
        response = error_response(failure)
        response.headers["X-Request-Id"] = number
        return response


def error_response(error: VaporForgeError) -> web.Response:
    """The HTTP response of an error."""
    response = json_response(error.body(), error.status)
    if error.status == 401:
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    if error.status in RETRIED:
        response.headers[hdrs.RETRY_AFTER] = "1"
    if isinstance(error, TooMany):
        response.headers[hdrs.RETRY_AFTER] = str(error.retry_after)
    return response


class AccessLogger(AbstractAccessLogger):
    """One line a request. Never the query: it may hold a token, a ticket or a prompt."""

    @property
    def enabled(self) -> bool:
        """Whether anything is logged at all."""
        return self.logger.isEnabledFor(logging.INFO)

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """`time` in seconds. What is no request (aiohttp calls its method UNKNOWN) the listener counts."""
        if request.method == "UNKNOWN":
            return
        path = _path(request)
        level = logging.DEBUG if path in QUIET_PATHS else logging.INFO
        client = client_of(request)
        self.logger.log(
            level, "%s %s %s %d %.1fms", client, request.method, path, response.status, time * 1e3
        )


def _abort(request: web.Request, error: VaporForgeError) -> NoReturn:
    """End a response that has begun: its status is sent, so that only the connection's end can tell."""
    logger.warning("%s broke off after its start: %s", _path(request), error.message)
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError(error.message) from error


def _http_error(request: web.Request, error: web.HTTPException) -> web.Response:
    if isinstance(error, web.HTTPNotFound):
        return error_response(
            NotFound(f"There is nothing at {_path(request)[:200]}; docs/protocol.md lists the routes")
        )
    response = error_response(BadRequest(error.reason))
    response.set_status(error.status)
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        response = error_response(BadRequest(f"{request.method} is not possible here; use {allowed}"))
        response.set_status(error.status)
        response.headers[hdrs.ALLOW] = allowed
    return response


def _path(request: web.BaseRequest) -> str:
    return request.rel_url.raw_path
