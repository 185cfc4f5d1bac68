"""The route table: every route of the gateway with who may ask it, and the wrapper that holds it to that."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

from aiohttp import hdrs, web

from gateway.errors import BadRequest, Draining, Forbidden, Unauthorized
from gateway.web import (
    admin,
    egress,
    health,
    pages,
    persist,
    sdk,
    sessions,
    tickets,
    usage,
    user_settings,
)
from gateway.web.files import handlers as files
from gateway.web.request.app_keys import AUTH, RUNS, SEATS, SETTINGS
from gateway.web.request.clients import client_of
from gateway.web.request.paths import inner_path
from gateway.web.terminals import terminals

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Handler, Middleware

    Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]

T = TypeVar("T")


class Auth(StrEnum):
    """Who may ask."""

    NONE = "none"
    BEARER = "bearer"
    """`Authorization: Bearer <token>`"""
    ADMIN = "admin"
    """The same, of one of the stack's admins."""
    DOWNLOAD = "download"
    """The same, or a ticket: what a browser downloads by itself it asks for without headers."""
    WEBSOCKET = "websocket"
    """A ticket, a token in the query or as a subprotocol, or the header; and the browser's Origin is checked."""


class Owner(StrEnum):
    """Whose session the request is about, and where its id is; the handler asks `request.owned.owned_session` first."""

    NONE = "none"
    SELF = "self"
    """What belongs to the caller; no session is named."""
    STACK = "stack"
    """What is the whole stack's, and its admins may see."""
    PATH = "path"
    QUERY = "query"
    BODY = "body"


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table."""

    method: str
    path: str
    handler: Handle
    auth: Auth
    owner: Owner


ROUTES: Final = (
    Route("GET", "/api/version", health.version, Auth.NONE, Owner.NONE),
    Route("GET", "/api/health", health.alive, Auth.NONE, Owner.NONE),
    Route("GET", "/api/ready", health.ready, Auth.NONE, Owner.NONE),
    Route("POST", "/api/sdk/ticket", tickets.issue, Auth.BEARER, Owner.BODY),
    Route("GET", "/api/sdk/ws", sdk.ws, Auth.WEBSOCKET, Owner.QUERY),
    Route("GET", "/api/sdk/terminal", terminals.attach, Auth.WEBSOCKET, Owner.QUERY),
    Route("POST", "/api/sdk/stream", sdk.stream, Auth.BEARER, Owner.BODY),
    Route("POST", "/api/sdk/persist", persist.persist, Auth.BEARER, Owner.BODY),
    Route("POST", "/api/sdk/stop", sdk.stop, Auth.BEARER, Owner.BODY),
    Route("POST", "/api/sdk/pause", sdk.pause, Auth.BEARER, Owner.BODY),
    Route("POST", "/api/sdk/resume", sdk.resume, Auth.BEARER, Owner.BODY),
    Route("GET", "/api/sdk/replay/{session}", sdk.replay, Auth.BEARER, Owner.PATH),
    Route("POST", "/api/sessions", sessions.create, Auth.BEARER, Owner.SELF),
    Route("GET", "/api/sessions", sessions.listing, Auth.BEARER, Owner.SELF),
    Route("GET", "/api/sessions/{session}", sessions.read, Auth.BEARER, Owner.PATH),
    Route("PATCH", "/api/sessions/{session}", sessions.rename, Auth.BEARER, Owner.PATH),
    Route("DELETE", "/api/sessions/{session}", sessions.delete, Auth.BEARER, Owner.PATH),
    Route("DELETE", "/api/sessions/{session}/files", sessions.empty_files, Auth.BEARER, Owner.PATH),
    Route("GET", "/api/sessions/{session}/files", files.listing, Auth.BEARER, Owner.PATH),
    Route("POST", "/api/sessions/{session}/files", files.change, Auth.BEARER, Owner.PATH),
    Route("GET", "/api/sessions/{session}/file", files.read, Auth.DOWNLOAD, Owner.PATH),
    Route("PUT", "/api/sessions/{session}/file", files.write, Auth.BEARER, Owner.PATH),
    Route("DELETE", "/api/sessions/{session}/file", files.delete, Auth.BEARER, Owner.PATH),
    Route("GET", "/api/sessions/{session}/zip", files.archive, Auth.DOWNLOAD, Owner.PATH),
    Route("GET", "/api/sessions/{session}/search", files.search, Auth.BEARER, Owner.PATH),
    Route("POST", "/api/sessions/{session}/upload", files.begin_upload, Auth.BEARER, Owner.PATH),
    Route("GET", "/api/sessions/{session}/upload", files.look_at_upload, Auth.BEARER, Owner.PATH),
    Route("PATCH", "/api/sessions/{session}/upload", files.append, Auth.BEARER, Owner.PATH),
    Route("PUT", "/api/sessions/{session}/upload", files.finish_upload, Auth.BEARER, Owner.PATH),
    Route("DELETE", "/api/sessions/{session}/upload", files.cancel_upload, Auth.BEARER, Owner.PATH),
    Route("GET", "/api/sessions/{session}/messages", sessions.messages, Auth.BEARER, Owner.PATH),
    Route("POST", "/api/sessions/{session}/terminals", terminals.create, Auth.BEARER, Owner.PATH),
    Route("GET", "/api/sessions/{session}/terminals", terminals.listing, Auth.BEARER, Owner.PATH),
    Route(
        "DELETE", "/api/sessions/{session}/terminals/{terminal}", terminals.delete, Auth.BEARER, Owner.PATH
    ),
    Route("POST", "/api/sessions/{session}/egress", egress.allow, Auth.BEARER, Owner.PATH),
    Route("DELETE", "/api/sessions/{session}/egress/{host}", egress.disallow, Auth.BEARER, Owner.PATH),
    Route("GET", "/api/sessions/{session}/usage", usage.of_session, Auth.BEARER, Owner.PATH),
    Route("GET", "/api/usage", usage.of_day, Auth.BEARER, Owner.SELF),
    Route("GET", "/api/settings", user_settings.read, Auth.BEARER, Owner.SELF),
    Route("PUT", "/api/settings", user_settings.write, Auth.BEARER, Owner.SELF),
    Route("GET", "/api/admin/audit", admin.audit, Auth.ADMIN, Owner.STACK),
    Route("GET", r"/{file:(?!api(?:/|$)).*}", pages.serve, Auth.NONE, Owner.NONE),
)

RELAY: Final = Route("GET", "any other", sdk.relay, Auth.WEBSOCKET, Owner.QUERY)
"""A WebSocket at whatever path but those of the table: the session's relay."""

WS_PATHS: Final = frozenset(route.path for route in ROUTES if route.auth is Auth.WEBSOCKET)


def add_routes(app: web.Application, base: str = "") -> None:
    """Add the table to `app`, each handler behind its auth rule, and the relay for all other WebSockets; under the path
    `base`, too, where there is one."""
    if base:
        app.router.add_get(base, _to_folder)
    for prefix in (base, "") if base else ("",):
        for route in ROUTES:
            add = app.router.add_get if route.method == "GET" else _adder(app, route.method)
            add(prefix + route.path, guarded(route))
    app.middlewares.append(_relay_upgrades(guarded(RELAY)))


def guarded(route: Route) -> Handle:
    """The route's handler, which is called for nobody whom the auth rule does not let in. What needs no caller to be
    refused is refused first: a ticket is used once."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if route.auth is Auth.WEBSOCKET:
            if not is_upgrade(request):
                raise BadRequest(f"{request.path} is a WebSocket: connect with one")
            if not _is_handshake(request):
                raise BadRequest("This is no WebSocket handshake as RFC 6455 section 4.1 has it")
            if not request.query.get("sessionId"):
                raise BadRequest("Missing sessionId", field="sessionId")
            if request.app[RUNS].draining:
                raise Draining("This gateway is shutting down; connect again.")
            caller, _ = await _counted(request, request.app[AUTH].websocket_caller(request))
            with request.app[SEATS].hold(caller.user):
                return await route.handler(request)
        elif route.auth in (Auth.BEARER, Auth.ADMIN):
            user = await _counted(request, request.app[AUTH].user(request))
            if route.auth is Auth.ADMIN and user not in request.app[SETTINGS].admins:
                raise Forbidden("Only the stack's admins may ask this; its setting `admins` names them")
            if route.handler in (sdk.stream, sdk.replay, *files.HANDLERS):
                with request.app[SEATS].hold(user):
                    return await route.handler(request)
        elif route.auth is Auth.DOWNLOAD:
            asked = request.app[AUTH].download_caller(request, request.match_info["session"])
            user = (await _counted(request, asked)).user
            with request.app[SEATS].hold(user):
                return await route.handler(request)
        return await route.handler(request)

    return handle


async def _counted(request: web.Request, asked: Awaitable[T]) -> T:
    """Who asks; a credential that may be a guess is counted. A good one is let in whatever was counted: nobody locks
    out others by failing in their name or from their address. Raises `Unauthorized`, and `SignInsLimited`."""
    try:
        return await asked
    except Unauthorized as error:
        if error.guess:
            await request.app[RUNS].quotas.failed_sign_in(client_of(request), error.subject)
        raise


def is_upgrade(request: web.Request) -> bool:
    """Whether the request asks to become a WebSocket (RFC 6455 section 4.1)."""
    return request.method == "GET" and request.headers.get(hdrs.UPGRADE, "").strip().lower() == "websocket"


def _is_handshake(request: web.Request) -> bool:
    """Whether its headers are those of RFC 6455 section 4.1."""
    try:
        return bool(web.WebSocketResponse().can_prepare(request))
    except ValueError:
        return False  # aiohttp quotes a header's bytes, and cannot when they are no UTF-8


def _relay_upgrades(relay: Handle) -> Middleware:
    @web.middleware
    async def upgrades(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_upgrade(request) and inner_path(request) not in WS_PATHS:
            return await relay(request)
        return await handler(request)

    return upgrades


async def _to_folder(request: web.Request) -> web.StreamResponse:
    """The page's addresses are relative to its folder."""
    raise web.HTTPPermanentRedirect(request.path.rpartition("/")[2] + "/")


def _adder(app: web.Application, method: str) -> Callable[[str, Handle], web.AbstractRoute]:
    return lambda path, handler: app.router.add_route(method, path, handler)
