"""Which address a request comes from: its connection's, or the one that the stack's own proxy tells."""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final

from aiohttp import web

from container.listener.connection import Connection
from gateway.web.request.app_keys import SETTINGS

PROXY_HEADER: Final = "X-VaporForge-Proxy"
"""Carries `VF_PROXY_SECRET`, which the proxy has and no client and no sandbox; the proxy replaces a client's own."""

_CLIENT: web.RequestKey[str] = web.RequestKey("client")


def client_of(request: web.BaseRequest) -> str:
    """The client's address: `X-Forwarded-For` where the proxy's secret is beside it or nobody else
    reaches the port, else the connection's own."""
    if _CLIENT not in request:
        request[_CLIENT] = _forwarded(request) or request.remote or "-"
    return request[_CLIENT]


def vouch_for(request: web.Request) -> None:
    """A connection of the proxy's is many clients', who are counted by the proxy itself."""
    if isinstance(request.protocol, Connection) and _by_proxy(request):
        request.protocol.vouch()


def _forwarded(request: web.BaseRequest) -> str:
    if not isinstance(request, web.Request) or not _by_proxy(request):
        return ""
    told = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(told))
    except ValueError:
        return ""


def _by_proxy(request: web.Request) -> bool:
    if request._match_info is None:  # noqa: SLF001 - what is no HTTP has reached no application
        return False
    settings = request.app.get(SETTINGS)
    if settings is not None and settings.proxy_only:
        return True
    told = request.headers.get(PROXY_HEADER)
    if told is None:
        return False
    secrets = (settings.proxy_secret, settings.proxy_secret_accepted) if settings is not None else ()
    sent = told.encode(errors="replace")
    return any(secret and hmac.compare_digest(sent, secret.encode()) for secret in secrets)
