"""The launcher's settings: read once from the environment; a bad value is named with its remedy."""

from __future__ import annotations

import ipaddress
import logging
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.config import MOST_RESERVE_PERCENT, SECRET_BYTES, ConfigError
from gateway.secretfiles import SecretFileError, with_files

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherSettings:
    """Everything that decides what a sandbox is. `memory_mb`: MiB; `cpus`: cores; `pids`: processes and threads.

    `networks`: what the network of each session is cut out of, in subnets of `network_prefix` bits; `from_host`:
    whether the engine's machine has an address on them, for gateways that run on it and in no container; `runtime`:
    the engine's default when empty; `docker_url`: the engine's socket.

    `disk_mb`, `disk_inodes`: what a session's volumes may have, MiB and files; 0: no limit. `disk_reserve_percent`: of
    the disk that stays free; 0: none. `disk_folder`: where the engine's folder of volumes is seen here; empty: nowhere,
    and nobody is held to these.
    """

    stack: str
    launcher_secret: str
    sandbox_secret: str
    image: str
    networks: str
    network_prefix: int = 28
    from_host: bool = False
    launcher_secret_accepted: str = ""
    """Taken as well, while the secret is rotated."""
    memory_mb: int = 2048
    cpus: float = 2.0
    pids: int = 512
    disk_mb: int = 20_480
    disk_inodes: int = 1_000_000
    disk_reserve_percent: float = 10.0
    disk_folder: str = ""
    broker_url: str = "http://gateway:8081"
    egress_proxy: str = ""
    git_hosts: str = ""
    """The URL of the proxy by which sandboxes reach hosts outside; empty where they reach none."""
    agent: str = "demo"
    model: str = ""
    redact: bool = True
    """Whether sandboxes strike secrets from what their agents say."""
    runtime: str = ""
    docker_url: str = "unix:///var/run/docker.sock"
    host: str = "0.0.0.0"  # noqa: S104 - its network is internal, and every route wants the secret
    port: int = 8090
    log_level: str = "INFO"


_VARIABLES = {
    "stack": "VF_STACK",
    "launcher_secret": "VF_LAUNCHER_SECRET",
    "launcher_secret_accepted": "VF_LAUNCHER_SECRET_ACCEPTED",
    "sandbox_secret": "VF_SANDBOX_SECRET",
    "image": "VF_SANDBOX_IMAGE",
    "networks": "VF_SANDBOX_NETWORKS",
    "network_prefix": "VF_SANDBOX_NETWORK_PREFIX",
    "from_host": "VF_SANDBOX_FROM_HOST",
    "memory_mb": "VF_SANDBOX_MEMORY_MB",
    "cpus": "VF_SANDBOX_CPUS",
    "pids": "VF_SANDBOX_PIDS",
    "disk_mb": "VF_SANDBOX_DISK_MB",
    "disk_inodes": "VF_SANDBOX_INODES",
    "disk_reserve_percent": "VF_DISK_RESERVE_PERCENT",
    "disk_folder": "VF_DISK_FOLDER",
    "broker_url": "VF_BROKER_URL",
    "egress_proxy": "VF_EGRESS_PROXY",
    "git_hosts": "VF_GIT_HOSTS",
    "agent": "VF_AGENT",
    "model": "VF_MODEL",
    "redact": "VF_REDACT",
    "runtime": "VF_SANDBOX_RUNTIME",
    "docker_url": "DOCKER_HOST",
    "host": "VF_HOST",
    "port": "VF_PORT",
    "log_level": "VF_LOG_LEVEL",
}
SECRETS = ("VF_LAUNCHER_SECRET", "VF_LAUNCHER_SECRET_ACCEPTED", "VF_SANDBOX_SECRET")
"""Those that may stand in a file instead, which the variable with `_FILE` behind it names."""

_REQUIRED = ("stack", "launcher_secret", "sandbox_secret", "image", "networks")
_FLAGS = frozenset({"from_host", "redact"})
_LEAST: dict[str, tuple[type[int | float], float]] = {
    "memory_mb": (int, 128),
    "cpus": (float, 0.1),
    "pids": (int, 32),
    "disk_mb": (int, 0),
    "disk_inodes": (int, 0),
    "disk_reserve_percent": (float, 0),
    "port": (int, 0),
    "network_prefix": (int, 8),
}
_MOST_PREFIX = 29
"""A gateway, a sandbox, and what a network has none of: its own address, the last one and the engine's."""


def read_launcher_settings(environ: Mapping[str, str]) -> LauncherSettings:
    """Settings from `environ` (empty is unset). Raises `ConfigError` naming the first bad variable."""
    try:
        environ = with_files(environ, SECRETS)
    except SecretFileError as error:
        raise ConfigError(str(error)) from None
    values: dict[str, str | int | float | bool] = {}
    for name, variable in _VARIABLES.items():
        text = environ.get(variable, "").strip()
        if text:
            values[name] = _value(name, variable, text)
        elif name in _REQUIRED:
            raise ConfigError(f"{variable} is not set; the launcher requires it")
    settings = LauncherSettings(**values)  # type: ignore[arg-type] # each value has the type that its table says
    for variable, secret in (
        ("VF_LAUNCHER_SECRET", settings.launcher_secret),
        ("VF_SANDBOX_SECRET", settings.sandbox_secret),
        ("VF_LAUNCHER_SECRET_ACCEPTED", settings.launcher_secret_accepted),
    ):
        if len(secret.encode()) < SECRET_BYTES and (secret or not variable.endswith("_ACCEPTED")):
            raise ConfigError(
                f"{variable} has {len(secret.encode())} bytes; it needs {SECRET_BYTES} random ones"
            )
    if settings.disk_reserve_percent > MOST_RESERVE_PERCENT:
        raise ConfigError(
            f"VF_DISK_RESERVE_PERCENT is {settings.disk_reserve_percent:g}; it must be {MOST_RESERVE_PERCENT} or less"
        )
    if settings.disk_folder and not settings.disk_folder.startswith("/"):
        raise ConfigError(f"VF_DISK_FOLDER is {settings.disk_folder!r}; it must be an absolute path")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", settings.stack):
        raise ConfigError(
            f"VF_STACK is {settings.stack!r}; it must be a name that Docker takes: letters, digits, _ . -"
        )
    _check_networks(settings)
    return settings


def possible(settings: LauncherSettings, *, cpus: int) -> LauncherSettings:
    """With no more CPUs than the engine has (`cpus`), as it refuses a container that asks for more."""
    if settings.cpus <= cpus:
        return settings
    log.warning(
        "VF_SANDBOX_CPUS is %g and the engine has %d: a sandbox gets all of them", settings.cpus, cpus
    )
    return replace(settings, cpus=float(cpus))


def _value(name: str, variable: str, text: str) -> str | int | float | bool:
    if name in _FLAGS:
        if text.lower() not in ("true", "false"):
            raise ConfigError(f"{variable} is {text!r}; it must be true or false")
        return text.lower() == "true"
    return _number(variable, text, *_LEAST[name]) if name in _LEAST else text


def _check_networks(settings: LauncherSettings) -> None:
    try:
        pool = ipaddress.IPv4Network(settings.networks)
    except ValueError as error:
        raise ConfigError(
            f"VF_SANDBOX_NETWORKS is {settings.networks!r}; it must be a network such as 10.213.0.0/16 ({error})"
        ) from None
    if not pool.prefixlen <= settings.network_prefix <= _MOST_PREFIX:
        raise ConfigError(
            f"VF_SANDBOX_NETWORK_PREFIX is {settings.network_prefix}; it must be {pool.prefixlen} to {_MOST_PREFIX}, "
            f"the subnets of {pool} that sandboxes are in"
        )


def _number(variable: str, text: str, kind: type[int | float], least: float) -> int | float:
    try:
        value = kind(text)
    except ValueError:
        raise ConfigError(f"{variable} is {text!r}; it must be a number") from None
    if not least <= value < float("inf"):
        raise ConfigError(f"{variable} is {text}; it must be at least {least:g}")
    return value
