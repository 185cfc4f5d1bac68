"""The gateway's settings: read once from the environment, frozen; a bad value is named with its remedy."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from types import MappingProxyType
from typing import Any

_BLOBS = re.compile(r"folder:/.*|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w!'()*./-]*)?", re.ASCII)

DRIVERS = ("docker", "process")

LEAST: Mapping[str, float] = MappingProxyType(
    {
        "snapshot_mb": 1,
        "snapshot_seconds": 1,
        "message_ttl_days": 0.01,
        "idle_minutes": 0.01,
        "start_seconds": 1,
        "lease_seconds": 1,
        "stop_seconds": 1,
        "ticket_seconds": 1,
        "connections": 16,
        "address_connections": 1,
        "user_connections": 1,
        "broker_connections": 16,
        "sandbox_connections": 1,
        "sandbox_calls": 1,
        "call_mb": 1,
        "head_seconds": 0.1,
        "keepalive_seconds": 1,
        "body_seconds": 0.1,
        "body_kb_per_second": 1,
        "stream_frames_per_second": 1000,
        "stream_mb_per_second": 1,
        "stream_control_burst": 20,
        "messages_per_second": 1,
    }
)
"""The least value of each number that may not be 0: below it loops spin, or what is made is over at once."""

SECRET_BYTES = 32
"""Least length of a signing secret: RFC 7518 section 3.2 wants a key as long as the hash's output."""


class ConfigError(Exception):
    """A setting is missing or bad; the message names the variable and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the gateway can be told. The variable of `queue_limit` is `VF_QUEUE_LIMIT`, and so on."""

    stack: str
    jwt_secret: str
    sandbox_secret: str
    credential_key: str
    host: str = "0.0.0.0"  # noqa: S104 - a container's own network decides who reaches it
    port: int = 8080
    broker_port: int = 8081
    jwt_audience: str = "vaporforge"
    jwt_issuer: str = ""
    allowed_origins: tuple[str, ...] = ()
    table: str = "vaporforge"
    table_create: bool = False
    dynamodb_endpoint: str = ""
    region: str = "us-east-1"
    driver: str = "docker"
    launcher_url: str = "http://launcher:8090"
    launcher_secret: str = ""
    process_root: str = ""
    agent: str = "demo"
    model: str = ""
    model_api_url: str = "https://api.anthropic.com"
    model_api_key: str = ""
    blobs: str = ""
    s3_endpoint: str = ""
    snapshot_mb: int = 4096
    snapshot_seconds: float = 600.0
    snapshot_tries: int = 10
    message_ttl_days: float = 7.0
    idle_minutes: float = 15.0
    queue_limit: int = 8
    prompts_per_minute: int = 120
    prompts_per_day: int = 5_000
    sessions_per_hour: int = 200
    sessions_per_user: int = 2_000
    stored_mb_per_user: int = 100_000
    tickets_per_minute: int = 600
    failed_sign_ins: int = 100
    sandboxes_per_user: int = 50
    sandboxes: int = 200
    model_calls_per_minute: int = 1_200
    model_mb_per_day: int = 50_000
    start_seconds: float = 60.0
    lease_seconds: float = 10.0
    drain_seconds: float = 20.0
    stop_seconds: float = 10.0
    ticket_seconds: float = 60.0
    proxy_secret: str = ""
    """Whoever sends it is the stack's own proxy, and is believed about its clients' addresses; empty: nobody is."""
    connections: int = 2000
    """Open at once at the public port; `address_connections` of them from an address that is not the proxy's: as many
    as a client has at the proxy, since a proxy of an older version does not say that it is one."""
    address_connections: int = 1000
    user_connections: int = 64
    """A user's WebSockets and event streams at this gateway."""
    broker_connections: int = 1000
    """Open at once at the broker; `sandbox_connections` of them a sandbox's."""
    sandbox_connections: int = 32
    sandbox_calls: int = 16
    """Calls of the model's API that a sandbox may have open at once; `call_mb`: the longest body of one, in MiB."""
    call_mb: int = 32
    head_seconds: float = 10.0
    keepalive_seconds: float = 20.0
    """Longer than the proxy's own: a connection that both close at once loses a request."""
    body_seconds: float = 10.0
    """For a request's body, and one more second for each `body_kb_per_second` of it (KiB)."""
    body_kb_per_second: int = 16
    stream_frames_per_second: int = 50_000
    stream_mb_per_second: int = 256
    stream_control_burst: int = 2000
    messages_per_second: float = 10.0
    log_level: str = "INFO"

    @property
    def needs_credential(self) -> bool:
        """Whether the agent cannot work without a model credential: `claude`; what others need is not known here."""
        return self.agent == "claude"


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from the `VF_*` variables (empty is unset). Raises `ConfigError` naming the first bad one."""
    values: dict[str, Any] = {}
    for item in fields(Settings):
        variable = f"VF_{item.name.upper()}"
        text = environ.get(variable, "").strip()
        if text:
            values[item.name] = _parse(variable, text, str(item.type), LEAST.get(item.name, 0))
        elif item.default is MISSING:
            raise ConfigError(f"{variable} is not set; it is required")
    settings = Settings(**values)
    for variable, secret in (
        ("VF_JWT_SECRET", settings.jwt_secret),
        ("VF_SANDBOX_SECRET", settings.sandbox_secret),
        ("VF_CREDENTIAL_KEY", settings.credential_key),
    ):
        if len(secret.encode()) < SECRET_BYTES:
            raise ConfigError(
                f"{variable} has {len(secret.encode())} bytes; it needs at least {SECRET_BYTES} random ones"
            )
    if settings.blobs and not _BLOBS.fullmatch(settings.blobs):
        raise ConfigError(
            f"VF_BLOBS is {settings.blobs!r}; it must be folder:/an/absolute/path or s3://bucket[/prefix]"
        )
    if settings.s3_endpoint and not settings.s3_endpoint.startswith(("http://", "https://")):
        raise ConfigError(f"VF_S3_ENDPOINT is {settings.s3_endpoint!r}; it must be an http or https URL")
    if settings.driver not in DRIVERS:
        raise ConfigError(f"VF_DRIVER is {settings.driver!r}; it must be one of {', '.join(DRIVERS)}")
    if settings.driver == "docker" and not settings.launcher_secret:
        raise ConfigError("VF_LAUNCHER_SECRET is not set; the docker driver needs the launcher's secret")
    if settings.driver == "process" and not settings.process_root:
        raise ConfigError("VF_PROCESS_ROOT is not set; the process driver needs a folder for its sandboxes")
    return settings


def _parse(variable: str, text: str, kind: str, least: float) -> Any:
    if kind == "str":
        return text
    if kind == "bool":
        if text.lower() not in ("true", "false", "1", "0"):
            raise ConfigError(f"{variable} is {text!r}; it must be true or false")
        return text.lower() in ("true", "1")
    if kind.startswith("tuple"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        number: int | float = int(text) if kind == "int" else float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= least):
        raise ConfigError(f"{variable} is {text!r}; it must be a number, {least:g} or more")
    return number
