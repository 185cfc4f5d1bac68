"""Egress as the sandbox sees it: where its programs find the proxy, and what its runs are told of blocked hosts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from container.errors import BadRequest
from container.protocol import FrameType, encode

MAX_NOTES: Final = 32
"""Hosts that a run is told of; a scanner would write frames without end."""

_HOST: Final = re.compile(r"[a-z0-9.-]{1,253}")
_REASON: Final = re.compile(r"[a-z]{1,16}")

_HERE: Final = "localhost,127.0.0.1,::1"


def proxy_environment(env: Mapping[str, str]) -> dict[str, str]:
    """What has an agent's programs use the proxy of `VF_EGRESS_PROXY`, a URL: nothing where that is not set. Programs
    differ in which case they read, and all take the credentials from the URL."""
    proxy = urlsplit(env.get("VF_EGRESS_PROXY", ""))
    if not proxy.netloc:
        return {}
    url = f"{proxy.scheme}://sandbox:{proxy_token(env)}@{proxy.netloc}"
    broker = urlsplit(env.get("ANTHROPIC_BASE_URL", "")).hostname
    around = f"{_HERE},{broker}" if broker else _HERE
    return {
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), url),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), around),
        "NODE_USE_ENV_PROXY": "1",
    }


def proxy_token(env: Mapping[str, str]) -> str:
    """What the proxy knows the sandbox by: what the broker does."""
    return env.get("ANTHROPIC_API_KEY", "")


def blocked_frame(body: bytes) -> tuple[str, bytes]:
    """The host, and the `egress-blocked` frame, of what the gateway says: `{host, reason, mayAllow}`. Raises
    BadRequest."""
    try:
        told: Any = json.loads(body)
    except ValueError:
        told = None
    fields = told if isinstance(told, dict) else {}
    host, reason, may = fields.get("host"), fields.get("reason"), fields.get("mayAllow")
    if not (isinstance(host, str) and _HOST.fullmatch(host)):
        raise BadRequest("host must be the name of a host.", field="host")
    if not (isinstance(reason, str) and _REASON.fullmatch(reason) and isinstance(may, bool)):
        raise BadRequest("reason must be a word, and mayAllow true or false.", field="reason")
    return host, encode({"type": FrameType.EGRESS_BLOCKED, "host": host, "reason": reason, "mayAllow": may})
