"""The way from the broker to the model's API and to git hosts: by the stack's proxy, the environment's, or none."""

from __future__ import annotations

import ipaddress
import urllib.request
from typing import TYPE_CHECKING, Any

from yarl import URL

if TYPE_CHECKING:
    from gateway.config import Settings


def way_to_model(settings: Settings) -> dict[str, Any]:
    """What aiohttp's `ClientSession` is told: `proxy`, and whether it may ask the environment for one (`trust_env`).
    What is on this machine is never asked by a proxy."""
    url = URL(settings.model_api_url)
    return {
        "proxy": proxy_for(settings, url),
        "trust_env": not (_is_here(url.host or "") or settings.http_proxy),
    }


def proxy_for(settings: Settings, url: URL) -> str | None:
    """The stack's proxy, where `url` is asked by it."""
    host = url.host or ""
    if not settings.http_proxy or _is_here(host):
        return None
    # It is not in the types of the standard library.
    bypass = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined]
    exempt = bypass(f"{host}:{url.port}", {"no": settings.no_proxy})
    return None if exempt else settings.http_proxy


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
