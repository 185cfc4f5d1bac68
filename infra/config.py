"""The stack's configuration: the only reader of Pulumi's, into a frozen dataclass; bad values are named."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import pulumi
from pulumi.runtime import config as runtime_config

from infra.addresses import read_pool
from infra.api_names import api_headers, api_names
from infra.generated import Version, read_versions
from infra.held import held
from infra.pem import check_served, read_bundle
from infra.schedule import MOST, Schedule, read_schedule
from infra.values import (
    HOST,
    ORIGIN,
    ConfigError,
    among,
    arn,
    check_egress,
    checked,
    choice,
    egress_entries,
    git_host_entries,
    key_of,
    number,
    parse_value,
    text,
)

PROJECT: Final = "vaporforge"

ROOT: Final = Path(__file__).resolve().parent.parent
"""The project's folder."""

LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
"""Addresses to bind that are reached on the engine's machine alone."""

WILDCARD: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - nothing is bound here
"""Addresses to bind that are reached by any name of the engine's machine."""

SECRET_BYTES: Final = 32
"""Least length of a signing secret: RFC 7518 section 3.2 wants a key as long as the hash's output."""

STACK_NAME: Final = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
"""What a stack may be called: its name becomes part of the names of images."""

STACK_LETTERS: Final = 63 - len(f"{PROJECT}-")
"""Longest name of a stack: the launcher takes 63 characters, the project's name among them."""

PIDS: Final = 4_194_304
"""The most processes that Linux has (proc(5), pid_max): a higher limit would be none."""

FILES: Final = 1_048_576
"""The most open files that Linux gives a process where nobody has changed it (proc(5), nr_open)."""

SUBNETS: Final = r"subnet-[0-9a-f]{8,17}(?:\s*,\s*subnet-[0-9a-f]{8,17})*"

SUBNETS_MUST: Final = "ids of subnets, separated by commas, such as subnet-0123456789abcdef0"

DOMAIN: Final = (
    r"(?=.{4,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+"
)
"""A host's name of two labels or more (RFC 1123 section 2.1)."""

MODEL_PRICE: Final = (
    r"\s*[A-Za-z0-9][A-Za-z0-9._@:/-]{0,127}\s*=\s*\d+(?:\.\d+)?(?:\s*/\s*\d+(?:\.\d+)?){1,4}\s*"
)
"""One of the gateway's `model_prices` (gateway/config.py)."""

LOG_DAYS: Final = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545),
    *(731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
"""How long CloudWatch can keep logs (its PutRetentionPolicy)."""

Secret = pulumi.Output[str] | None
"""A secret value, or None where it is not set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a stack can be told; Pulumi.yaml describes each. `queue_limit` is `vaporforge:queueLimit`.

    `engine_host`: the machine of a Docker engine that is reached by network, else empty."""

    stack: str
    engine_host: str
    target: str = choice("docker", "aws")
    running: bool = True
    agent: str = "demo"
    model: str = ""
    model_api_url: str = text(
        "https://api.anthropic.com", rf"https?://{HOST}(?:/[^\s?#]*)?", "an http or https URL"
    )
    model_api_key: Secret = None
    model_api_allow_headers: str = api_headers()
    model_api_allow_betas: str = api_names("interleaved-thinking")
    model_api_allow_fields: str = api_names("service_tier")
    model_api_allow_tools: str = api_names("web_search")
    model_api_allow_content: str = api_names("url")
    http_proxy: str = text(
        "", rf"https?://{HOST}/?", "an http or https URL without a user's name, as http://proxy.example:3128"
    )
    no_proxy: str = text(
        "", r"[^\s,@]+(?:\s*,\s*[^\s,@]+)*", "hosts and domains such as .example.com, separated by commas"
    )
    port: int = number(8080, 1, 65535)
    bind_address: str = "127.0.0.1"
    base_path: str = text(
        "",
        # The proxy answers /proxy itself (infra/proxy/haproxy.cfg): the printed address would show nothing.
        r"(?!/api(?:/|$)|/proxy$)(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+",
        "a path that begins with / and ends with none, such as /forge, and neither /api nor /proxy",
    )
    tls_certificate: Secret = None
    http2: bool = False
    connections: int = number(2000, 100, 20_000)
    address_connections: int = number(1000, 10, 20_000)
    user_connections: int = number(64, 1)
    broker_connections: int = number(1000, 16)
    sandbox_connections: int = number(32, 1)
    sandbox_calls: int = number(16, 1)
    call_mb: int = number(32, 1)
    file_mb: int = number(2048, 1)
    head_seconds: int = number(10, 1)
    body_seconds: int = number(10, 1)
    body_kb_per_second: int = number(16, 1)
    gateway_replicas: int = number(2, 1, 16)
    allowed_origins: str = text(
        "", rf"{ORIGIN}(?:\s*,\s*{ORIGIN})*", "origins such as https://host:port, separated by commas"
    )
    admins: str = text("", r"\s*[^\s,][^,]*(?:,\s*[^\s,][^,]*)*", "subs of users, separated by commas")
    audit_days: int = number(365, 1)
    jwt_audience: str = "vaporforge"
    jwt_secret: Secret = None
    credential_key: Secret = None
    secret_versions: str = checked("", read_versions)
    token_leeway_seconds: int = number(30, 0)
    redact: bool = True
    queue_limit: int = number(8, 0)
    prompts_per_minute: int = number(120, 0)
    prompts_per_day: int = number(5_000, 0)
    sessions_per_hour: int = number(200, 0)
    sessions_per_user: int = number(2_000, 0)
    stored_mb_per_user: int = number(100_000, 0)
    tickets_per_minute: int = number(600, 0)
    failed_sign_ins: int = number(100, 0)
    sandboxes_per_user: int = number(50, 0)
    sandboxes: int = number(200, 0, 10_000)
    model_calls_per_minute: int = number(1_200, 0)
    model_mb_per_day: int = number(50_000, 0)
    budget_run_usd: float = number(0, 0)
    budget_session_usd: float = number(0, 0)
    budget_user_day_usd: float = number(500, 0)
    budget_stack_day_usd: float = number(5_000, 0)
    budget_soft_percent: int = number(80, 0, 100)
    model_prices: str = text(
        "",
        rf"{MODEL_PRICE}(?:,{MODEL_PRICE})*",
        "models with US dollars for a million tokens of input and output, such as my-model=3/15, separated by commas",
    )
    unknown_models: str = choice("auto", "refuse", "free")
    idle_minutes: int = number(15, 1)
    background_minutes: int = number(60, 0)
    start_seconds: int = number(60, 1, on_aws=180)
    drain_seconds: int = number(20, 5)
    stop_seconds: int = number(10, 6)
    snapshot_mb: int = number(4096, 1)
    snapshot_seconds: int = number(600, 1)
    message_ttl_days: int = number(7, 1)
    encrypt: bool = True
    encrypt_with: str = choice("secret", "kms", on_aws="kms")
    stream_frames_per_second: int = number(50_000, 1000)
    stream_mb_per_second: int = number(256, 1)
    stream_control_burst: int = number(2000, 20)
    messages_per_second: int = number(10, 1)
    log_level: str = choice("INFO", "DEBUG", "WARNING", "ERROR")
    gateway_memory_mb: int = number(1024, 256)
    proxy_memory_mb: int = number(1024, 128)
    launcher_memory_mb: int = number(256, 128)
    table_memory_mb: int = number(1024, 512)
    part_pids: int = number(512, 128, PIDS)
    part_files: int = number(16_384, 4096, FILES)
    sandbox_memory_mb: int = number(2048, 256, on_aws=4096)
    sandbox_cpus: float = number(2.0, 0.1)
    sandbox_pids: int = number(512, 64, PIDS)
    sandbox_disk_mb: int = number(20_480, 0)
    sandbox_inodes: int = number(1_000_000, 0)
    stored_mb: int = number(200_000, 0)
    disk_reserve_percent: int = number(10, 0, 50)
    sandbox_internet: bool = False
    """Whether `egress` is `all`, whichever of the two keys says so."""
    egress: str = choice("none", "registries", "list", "all")
    egress_allow: str = checked("", egress_entries)
    egress_learn: bool = False
    egress_session_allow: bool = True
    egress_connections: int = number(1000, 16)
    sandbox_egress_connections: int = number(64, 1)
    egress_idle_seconds: int = number(300, 10)
    egress_mb_per_day: int = number(50_000, 0)
    egress_memory_mb: int = number(512, 128)
    git_hosts: str = checked("github.com,gitlab.com,bitbucket.org,codeberg.org", git_host_entries)
    git_force_push: bool = False
    git_push_mb: int = number(512, 1)
    git_fetch_mb: int = number(8192, 1)
    sandbox_networks: str = checked("10.213.0.0/16", read_pool)
    sandbox_runtime: str = text("", r"[A-Za-z0-9_.-]+", "the name of a runtime that the engine knows")
    dynamodb: str = choice("local", "aws")
    dynamodb_table: str = text("vaporforge", r"[A-Za-z0-9_.-]{3,255}", "3 to 255 letters, digits, _ . -")
    region: str = text("us-east-1", r"[a-z]{2}(?:-[a-z]+)+-\d", "the name of a region, such as eu-central-1")
    aws_access_key_id: Secret = None
    aws_secret_access_key: Secret = None
    base_image: str = "python:3.11-slim-bookworm"
    dynamodb_image: str = "amazon/dynamodb-local:3.1.0"
    ca_bundle: str = ""
    """Text of the bundle; the key names its path."""
    docker_host: str = text("", r"(?:unix|tcp|ssh|npipe)://\S+", "a unix://, tcp://, ssh:// or npipe:// URL")
    docker_socket: str = "/var/run/docker.sock"
    pool_size: int = number(0, 0, MOST)
    pool_schedule: str = checked("", lambda given: read_schedule(given, 0))
    pool_max_minutes: int = number(120, 5, 1440)
    vpc_id: str = text("", r"vpc-[0-9a-f]{8,17}", "the id of a VPC, such as vpc-0123456789abcdef0")
    public_subnets: str = text("", SUBNETS, SUBNETS_MUST)
    private_subnets: str = text("", SUBNETS, SUBNETS_MUST)
    vpc_cidr: str = text("10.42.0.0/16", r"\d+(?:\.\d+){3}/\d+", "a network such as 10.42.0.0/16")
    zones: int = number(2, 2, 3)
    nat: str = choice("one", "none", "zone")
    interface_endpoints: bool = False
    certificate_arn: str = text("", arn("acm", "certificate/.+"), "the ARN of a certificate in ACM")
    domain: str = text("", DOMAIN, "a host's name in lower-case letters, such as forge.example.com")
    hosted_zone: str = text(
        "", r"Z[A-Z0-9]{5,31}", "the id of a hosted zone in Route 53, such as Z0123456789ABC"
    )
    gateway_replicas_most: int = number(6, 1, 100)
    gateway_cpus: float = number(0.5, 0.25, 16)
    alb_idle_seconds: int = number(300, 1, 4000)
    sandbox_spot: bool = False
    log_days: int = among(30, LOG_DAYS)
    protect: str = choice("auto", "true", "false")
    alarm_topic: str = text("", arn("sns", "[A-Za-z0-9_-]{1,256}"), "the ARN of a topic in SNS")

    @property
    def stack_id(self) -> str:
        """What everything of this stack is labelled with (`vaporforge.stack`)."""
        return f"{PROJECT}-{self.stack}"

    @property
    def versions(self) -> Mapping[str, Version]:
        """Which version of each generated secret is used."""
        return read_versions(self.secret_versions)

    @property
    def pool(self) -> Schedule:
        """How large the pool of sandboxes is when."""
        return read_schedule(self.pool_schedule, self.pool_size)

    @property
    def url(self) -> str:
        """Where a browser finds the stack: one on this machine, or for a loopback address one on the engine's.

        It is the address that is bound: `localhost` has two, and the other may be another program's. With a certificate
        it is the name that this is for, and no other program has its key."""
        host = self.bind_address
        if host in WILDCARD:
            host = self.engine_host or ("::1" if host == "::" else "127.0.0.1")
        if host in LOOPBACK and self.tls_certificate is not None:
            host = "localhost"
        host = f"[{host}]" if ":" in host else host
        return f"{'http' if self.tls_certificate is None else 'https'}://{host}:{self.port}{self.base_path}"


def read_settings() -> Settings:
    """The settings of the stack that is being deployed. Raises `ConfigError` for the first bad value.
    Whether they agree with each other infra/rules says."""
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
        key = f"{PROJECT}:{key_of(item.name)}"
        given = str(runtime_config.get_config(key) or "").strip()
        if given:
            values[item.name] = parse_value(key, given, str(item.type), item.metadata)
        elif "on_aws" in item.metadata and values.get("target") == "aws":
            values[item.name] = item.metadata["on_aws"]
    if path := values.get("ca_bundle"):
        values["ca_bundle"] = read_bundle(f"{PROJECT}:caBundle", path, ROOT)
    return _validated(Settings(**values))


def default_settings(target: str) -> Settings:
    """Those of a stack of this target that is told nothing else."""
    on_aws = {item.name: item.metadata["on_aws"] for item in fields(Settings) if "on_aws" in item.metadata}
    return Settings(stack="dev", engine_host="", target=target, **(on_aws if target == "aws" else {}))


def host_of(engine: str) -> str:
    """The machine that a Docker engine's URL names; empty for a socket on this one, and for what is no URL."""
    url = urllib.parse.urlsplit(engine.strip())
    return (url.hostname or "") if url.scheme in {"ssh", "tcp"} else ""


def known_keys() -> frozenset[str]:
    """Every key, without the project's name."""
    return frozenset(key_of(item.name) for item in fields(Settings) if item.default is not MISSING)


def secret_keys() -> frozenset[str]:
    """The keys whose values are secrets."""
    return frozenset(key_of(item.name) for item in fields(Settings) if item.type == "Secret")


def _validated(settings: Settings) -> Settings:
    for key in ("jwtSecret", "credentialKey"):
        length = len(str(runtime_config.get_config(f"{PROJECT}:{key}") or "").strip().encode())
        if 0 < length < SECRET_BYTES:
            raise ConfigError(
                f"vaporforge:{key} has {length} bytes; it must have {SECRET_BYTES} random ones or more"
            )
    if certificate := str(runtime_config.get_config(f"{PROJECT}:tlsCertificate") or "").strip():
        check_served(f"{PROJECT}:tlsCertificate", certificate)
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
    level = check_egress(
        egress=settings.egress,
        internet=settings.sandbox_internet,
        given=bool(runtime_config.get_config(f"{PROJECT}:egress")),
        allow=settings.egress_allow,
        learn=settings.egress_learn,
    )
    return replace(
        settings,
        egress=level,
        sandbox_internet=level == "all",
        base_image=held(settings.base_image),
        dynamodb_image=held(settings.dynamodb_image),
    )


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
