"""Where a request leads, whatever path the gateway is under: `VF_BASE_PATH` may be before it or taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.web.request.app_keys import SETTINGS

if TYPE_CHECKING:
    from aiohttp import web


def inner_path(request: web.Request) -> str:
    """The path as the route table has it."""
    settings = request.app.get(SETTINGS)
    base = settings.base_path if settings is not None else ""
    return request.path.removeprefix(base) if base and request.path.startswith(f"{base}/") else request.path


def is_api(request: web.Request) -> bool:
    """Whether it is the API that is asked, and not the page."""
    path = inner_path(request)
    return path == "/api" or path.startswith("/api/")
