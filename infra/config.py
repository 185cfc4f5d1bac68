"""The stack's configuration: the only reader of Pulumi's, into a frozen dataclass; bad values are named."""

from __future__ import annotations

import difflib
import ipaddress
import math
import os
import re
import urllib.parse
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import pulumi
from pulumi.runtime import config as runtime_config

from infra.pem import check_served, read_bundle
from infra.values import ConfigError, parse_value

PROJECT: Final = "vaporforge"

ROOT: Final = Path(__file__).resolve().parent.parent
"""The project's folder."""

LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
"""Addresses to bind that are reached as localhost, on the engine's machine alone."""

WILDCARD: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - nothing is bound here
"""Addresses to bind that are reached by any name of the engine's machine."""

SECRET_BYTES: Final = 32
"""Least length of a signing secret: RFC 7518 section 3.2 wants a key as long as the hash's output."""

MOST_LOOPBACK_CONNECTIONS: Final = 2500
"""What a port that is published on a loopback or an IPv6 address can have: between it and the proxy is the engine's own
one for such addresses, which died for good at 3,362 connections (six open files each, of 20,000)."""

STACK_NAME: Final = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
"""What a stack may be called: its name becomes part of the names of images."""

STACK_LETTERS: Final = 63 - len(f"{PROJECT}-")
"""Longest name of a stack: the launcher takes 63 characters, the project's name among them."""

PIDS: Final = 4_194_304
"""The most processes that Linux has (proc(5), pid_max): a higher limit would be none."""

FILES: Final = 1_048_576
"""The most open files that Linux gives a process where nobody has changed it (proc(5), nr_open)."""

HOST: Final = r"(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@,:\[\]]+)(?::\d{1,5})?"
"""A host, with or without a port, in a URL."""

ORIGIN: Final = rf"[a-z][a-z0-9+.-]*://{HOST}"
"""What a browser sends as a page's origin."""


Secret = pulumi.Output[str] | None
"""A secret value, or None where it is not set."""


def _number(default: float, least: float, most: float = math.inf) -> Any:
    return field(default=default, metadata={"least": least, "most": most})


def _text(default: str, pattern: str, must: str) -> Any:
    return field(default=default, metadata={"pattern": pattern, "must": must})


def _choice(default: str, *others: str) -> Any:
    return field(default=default, metadata={"choices": (default, *others)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a stack can be told; Pulumi.yaml describes each. `queue_limit` is `vaporforge:queueLimit`.

    `engine_host`: the machine of a Docker engine that is reached by network, else empty."""

    stack: str
    engine_host: str
    target: str = _choice("docker", "aws")
    running: bool = True
    agent: str = "demo"
    model: str = ""
    model_api_url: str = _text(
        "https://api.anthropic.com", rf"https?://{HOST}(?:/[^\s?#]*)?", "an http or https URL"
    )
    model_api_key: Secret = None
    port: int = _number(8080, 1, 65535)
    bind_address: str = "127.0.0.1"
    tls_certificate: Secret = None
    connections: int = _number(2000, 100, 20_000)
    address_connections: int = _number(1000, 10, 20_000)
    gateway_replicas: int = _number(2, 1, 16)
    allowed_origins: str = _text(
        "", rf"{ORIGIN}(?:\s*,\s*{ORIGIN})*", "origins such as https://host:port, separated by commas"
    )
    jwt_audience: str = "vaporforge"
    jwt_secret: Secret = None
    queue_limit: int = _number(8, 0)
    prompts_per_minute: int = _number(120, 0)
    prompts_per_day: int = _number(5_000, 0)
    sessions_per_hour: int = _number(200, 0)
    sessions_per_user: int = _number(2_000, 0)
    stored_mb_per_user: int = _number(100_000, 0)
    tickets_per_minute: int = _number(600, 0)
    failed_sign_ins: int = _number(100, 0)
    sandboxes_per_user: int = _number(50, 0)
    sandboxes: int = _number(200, 0)
    model_calls_per_minute: int = _number(1_200, 0)
    model_mb_per_day: int = _number(50_000, 0)
    idle_minutes: int = _number(15, 1)
    stop_seconds: int = _number(10, 6)
    message_ttl_days: int = _number(7, 1)
    stream_frames_per_second: int = _number(50_000, 1000)
    stream_mb_per_second: int = _number(256, 1)
    stream_control_burst: int = _number(2000, 20)
    messages_per_second: int = _number(10, 1)
    log_level: str = _choice("INFO", "DEBUG", "WARNING", "ERROR")
    gateway_memory_mb: int = _number(1024, 256)
    proxy_memory_mb: int = _number(1024, 128)
    launcher_memory_mb: int = _number(256, 128)
    table_memory_mb: int = _number(1024, 512)
    part_pids: int = _number(512, 128, PIDS)
    part_files: int = _number(16_384, 4096, FILES)
    sandbox_memory_mb: int = _number(2048, 256)
    sandbox_cpus: float = _number(2.0, 0.1)
    sandbox_pids: int = _number(512, 64, PIDS)
    sandbox_internet: bool = False
    sandbox_runtime: str = _text("", r"[A-Za-z0-9_.-]+", "the name of a runtime that the engine knows")
    dynamodb: str = _choice("local", "aws")
    dynamodb_table: str = _text("vaporforge", r"[A-Za-z0-9_.-]{3,255}", "3 to 255 letters, digits, _ . -")
    region: str = "us-east-1"
    aws_access_key_id: Secret = None
    aws_secret_access_key: Secret = None
    base_image: str = "python:3.11-slim-bookworm"
    dynamodb_image: str = "amazon/dynamodb-local:3.1.0"
    ca_bundle: str = ""
    """Text of the bundle; the key names its path."""
    docker_host: str = _text("", r"(?:unix|tcp|ssh|npipe)://\S+", "a unix://, tcp://, ssh:// or npipe:// URL")
    docker_socket: str = "/var/run/docker.sock"

    @property
    def stack_id(self) -> str:
        """What everything of this stack is labelled with (`vaporforge.stack`)."""
        return f"{PROJECT}-{self.stack}"

    @property
    def url(self) -> str:
        """Where a browser finds the stack: one on this machine, or for a loopback address one on the engine's."""
        host = self.bind_address
        if host in LOOPBACK | WILDCARD:
            host = (self.engine_host if host in WILDCARD else "") or "localhost"
        host = f"[{host}]" if ":" in host else host
        return f"{'http' if self.tls_certificate is None else 'https'}://{host}:{self.port}"


def read_settings() -> Settings:
    """The settings of the stack that is being deployed. Raises `ConfigError` for the first bad value."""
    known = [item for item in fields(Settings) if item.default is not MISSING]
    _refuse_unknown(_configured_keys(), known_keys())
    stack = pulumi.get_stack()
    if not STACK_NAME.fullmatch(stack):
        raise ConfigError(
            f"The stack is called {stack!r}; its name must be lower-case letters and digits, joined by - or _"
        )
    if len(stack) > STACK_LETTERS:
        raise ConfigError(
            f"The stack is called {stack!r}; its name has {len(stack)} characters and must have "
            f"{STACK_LETTERS} at most"
        )
    engine = str(runtime_config.get_config(f"{PROJECT}:dockerHost") or os.environ.get("DOCKER_HOST") or "")
    values: dict[str, Any] = {"stack": stack, "engine_host": host_of(engine)}
    for item in known:
        key = f"{PROJECT}:{_key(item.name)}"
        text = str(runtime_config.get_config(key) or "").strip()
        if text:
            values[item.name] = parse_value(key, text, str(item.type), item.metadata)
    if path := values.get("ca_bundle"):
        values["ca_bundle"] = read_bundle(f"{PROJECT}:caBundle", path, ROOT)
    return _validated(Settings(**values))


def host_of(engine: str) -> str:
    """The machine that a Docker engine's URL names; empty for a socket on this one, and for what is no URL."""
    url = urllib.parse.urlsplit(engine.strip())
    return (url.hostname or "") if url.scheme in {"ssh", "tcp"} else ""


def known_keys() -> frozenset[str]:
    """Every key, without the project's name."""
    return frozenset(_key(item.name) for item in fields(Settings) if item.default is not MISSING)


def secret_keys() -> frozenset[str]:
    """The keys whose values are secrets."""
    return frozenset(_key(item.name) for item in fields(Settings) if item.type == "Secret")


def _validated(settings: Settings) -> Settings:
    jwt_secret = str(runtime_config.get_config(f"{PROJECT}:jwtSecret") or "")
    length = len(jwt_secret.encode())
    if 0 < length < SECRET_BYTES:
        raise ConfigError(
            f"vaporforge:jwtSecret has {length} bytes; it must have {SECRET_BYTES} random ones or more"
        )
    if certificate := str(runtime_config.get_config(f"{PROJECT}:tlsCertificate") or "").strip():
        check_served(f"{PROJECT}:tlsCertificate", certificate)
    try:
        address = ipaddress.ip_address(settings.bind_address)
    except ValueError:
        raise ConfigError(
            f"vaporforge:bindAddress is {settings.bind_address!r}; it must be an IP address of this machine"
        ) from None
    # What comes by IPv6 the engine forwards the same way where the stack's network has none, as by default.
    forwarded = address.is_loopback or address.version == 6
    if forwarded and settings.connections > MOST_LOOPBACK_CONNECTIONS:
        raise ConfigError(
            f"vaporforge:connections is {settings.connections}; with vaporforge:bindAddress {settings.bind_address} "
            f"it must be {MOST_LOOPBACK_CONNECTIONS} at most: the engine's own proxy there bears no more"
        )
    if (needed := settings.connections * 4 + 200) > settings.part_files:
        # As infra/proxy/start counts them.
        raise ConfigError(
            f"vaporforge:partFiles is {settings.part_files}; with vaporforge:connections {settings.connections} "
            f"it must be {needed} or more: the proxy opens so many"
        )
    if not settings.docker_socket.startswith("/"):
        raise ConfigError(
            f"vaporforge:dockerSocket is {settings.docker_socket!r}; it must be an absolute path"
        )
    if settings.target == "aws":
        raise ConfigError("vaporforge:target is aws, which is not built yet; it must be docker")
    if settings.dynamodb == "aws":
        for name in ("aws_access_key_id", "aws_secret_access_key"):
            if getattr(settings, name) is None:
                raise ConfigError(
                    f"vaporforge:{_key(name)} is not set; vaporforge:dynamodb is aws, so it must be "
                    f"(pulumi config set --secret vaporforge:{_key(name)})"
                )
    return settings


def _configured_keys() -> list[str]:
    configured = {**runtime_config.get_config_env(), **runtime_config.CONFIG.get()}
    return sorted(key.removeprefix(f"{PROJECT}:") for key in configured if key.startswith(f"{PROJECT}:"))


def _refuse_unknown(configured: Iterable[str], known: frozenset[str]) -> None:
    for key in configured:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            meant = (
                f"did you mean {PROJECT}:{near[0]}?" if near else "Pulumi.yaml lists the keys that there are"
            )
            raise ConfigError(f"{PROJECT}:{key} is not a key of this project; {meant}")


def _key(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
