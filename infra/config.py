"""The stack's configuration: the only reader of Pulumi's, into a frozen dataclass; bad values are named."""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import pulumi
from pulumi.runtime import config as runtime_config

PROJECT: Final = "vaporforge"

ROOT: Final = Path(__file__).resolve().parent.parent
"""The project's folder."""

THIS_MACHINE: Final = frozenset({"127.0.0.1", "0.0.0.0", "::1", "::"})  # noqa: S104 - nothing is bound here
"""Addresses to bind that are reached as localhost."""

CA_BUNDLE_BYTES: Final = 64 * 1024
"""Largest bundle: it travels as a build argument, which Linux limits to 128 KiB (`MAX_ARG_STRLEN`)."""

SECRET_BYTES: Final = 32
"""Least length of a signing secret: RFC 7518 section 3.2 wants a key as long as the hash's output."""

STACK_NAME: Final = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
"""What a stack may be called: its name becomes part of the names of images."""


class ConfigError(pulumi.RunError):
    """A configuration value is bad; the message names the key and says what it must be."""


Secret = pulumi.Output[str] | None
"""A secret value, or None where it is not set."""


def _number(default: float, least: float, most: float = math.inf) -> Any:
    return field(default=default, metadata={"least": least, "most": most})


def _choice(default: str, *others: str) -> Any:
    return field(default=default, metadata={"choices": (default, *others)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a stack can be told; Pulumi.yaml describes each. `queue_limit` is `vaporforge:queueLimit`."""

    stack: str
    target: str = _choice("docker", "aws")
    running: bool = True
    agent: str = "demo"
    model: str = ""
    model_api_url: str = "https://api.anthropic.com"
    model_api_key: Secret = None
    port: int = _number(8080, 1, 65535)
    bind_address: str = "127.0.0.1"
    tls_certificate: Secret = None
    gateway_replicas: int = _number(2, 1, 16)
    allowed_origins: str = ""
    jwt_audience: str = "vaporforge"
    jwt_secret: Secret = None
    queue_limit: int = _number(8, 0)
    idle_minutes: int = _number(15, 1)
    message_ttl_days: int = _number(7, 1)
    log_level: str = _choice("INFO", "DEBUG", "WARNING", "ERROR")
    sandbox_memory_mb: int = _number(2048, 256)
    sandbox_cpus: float = _number(2.0, 0.1)
    sandbox_pids: int = _number(512, 64)
    sandbox_internet: bool = False
    sandbox_runtime: str = ""
    dynamodb: str = _choice("local", "aws")
    dynamodb_table: str = "vaporforge"
    region: str = "us-east-1"
    aws_access_key_id: Secret = None
    aws_secret_access_key: Secret = None
    base_image: str = "python:3.11-slim-bookworm"
    dynamodb_image: str = "amazon/dynamodb-local:3.1.0"
    ca_bundle: str = ""
    """Text of the bundle; the key names its path."""
    docker_host: str = ""
    docker_socket: str = "/var/run/docker.sock"

    @property
    def stack_id(self) -> str:
        """What everything of this stack is labelled with (`vaporforge.stack`)."""
        return f"{PROJECT}-{self.stack}"

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the stack."""
        host = "localhost" if self.bind_address in THIS_MACHINE else self.bind_address
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
    values: dict[str, Any] = {"stack": stack}
    for item in known:
        key = f"{PROJECT}:{_key(item.name)}"
        text = str(runtime_config.get_config(key) or "").strip()
        if text:
            values[item.name] = _parse(key, text, str(item.type), item.metadata)
    return _validated(Settings(**values))


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
    try:
        ipaddress.ip_address(settings.bind_address)
    except ValueError:
        raise ConfigError(
            f"vaporforge:bindAddress is {settings.bind_address!r}; it must be an IP address of this machine"
        ) from None
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


def _parse(key: str, text: str, kind: str, rules: Mapping[str, Any]) -> Any:
    if kind == "Secret":
        if not runtime_config.is_config_secret(key):
            raise ConfigError(
                f"{key} is in the clear; it must be encrypted: pulumi config set --secret {key}"
            )
        return pulumi.Output.secret(text)
    if kind == "bool":
        if text.lower() not in {"true", "false"}:
            raise ConfigError(f"{key} is {text!r}; it must be true or false")
        return text.lower() == "true"
    if kind in {"int", "float"}:
        return _parse_number(key, text, kind, rules)
    if choices := rules.get("choices"):
        if text not in choices:
            raise ConfigError(f"{key} is {text!r}; it must be one of {', '.join(choices)}")
    elif key.endswith(":caBundle"):
        return _read_bundle(key, text)
    return text


def _parse_number(key: str, text: str, kind: str, rules: Mapping[str, Any]) -> float:
    try:
        number: float = int(text) if kind == "int" else float(text)
    except ValueError:
        raise ConfigError(f"{key} is {text!r}; it must be a {'whole ' * (kind == 'int')}number") from None
    if not rules["least"] <= number <= rules["most"]:
        most = f" and at most {rules['most']}" if math.isfinite(rules["most"]) else ""
        raise ConfigError(f"{key} is {text}; it must be {rules['least']} or more{most}")
    return number


def _read_bundle(key: str, text: str) -> str:
    path = ROOT / Path(text).expanduser()
    try:
        pem = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{key} is {text!r}, which cannot be read ({error}); it must be a PEM file"
        ) from error
    if "-----BEGIN CERTIFICATE-----" not in pem:
        raise ConfigError(f"{key} is {text!r}, which holds no certificate; it must be a PEM file")
    if len(pem.encode()) > CA_BUNDLE_BYTES:
        raise ConfigError(
            f"{key} is {text!r}, which has {len(pem.encode())} bytes; it must have {CA_BUNDLE_BYTES} at most: "
            "name a file with your own certificates only, not the system's whole bundle"
        )
    return pem


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
