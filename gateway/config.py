"""The gateway's settings: read once from the environment, frozen; a bad value is named with its remedy."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from types import MappingProxyType
from typing import Any

from gateway.hops import HOP_BY_HOP
from gateway.schedule import Schedule, read_schedule
from gateway.secretfiles import SecretFileError, with_files

_BLOBS = re.compile(r"folder:/.*|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w!'()*./-]*)?", re.ASCII)

_BASE_PATH = re.compile(r"(?!/api(?:/|$))(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", re.ASCII)

MODEL_PRICE = re.compile(
    r"\s*(?P<model>[A-Za-z0-9][A-Za-z0-9._@:/-]{0,127})\s*=\s*(?P<prices>\d+(?:\.\d+)?(?:\s*/\s*\d+(?:\.\d+)?){1,4})\s*",
    re.ASCII,
)
"""One of `model_prices`: US dollars for a million tokens of input, output, and where they are other than the usual
multiples cache reads and cache writes for 5 minutes and for an hour."""

MOST_SOFT_PERCENT = 100

DRIVERS = ("docker", "ecs", "process")

_TASK_DEFINITION = re.compile(r"(arn:[^\s/]+/)?[A-Za-z0-9_-]{1,255}:[0-9]+", re.ASCII)
_SUBNET = re.compile(r"subnet-[0-9a-z]+", re.ASCII)
_SECURITY_GROUP = re.compile(r"sg-[0-9a-z]+", re.ASCII)

MOST_SUBNETS = 16
MOST_SECURITY_GROUPS = 5
"""Of a task's network interface (RunTask's `awsvpcConfiguration`, documented)."""

ECS_START_SECONDS = 180.0
"""`start_seconds` of the `ecs` driver unless it is set: Fargate takes 30 to 60 s, and longer for a large image."""

METRICS = ("off", "emf")

EGRESS = ("none", "registries", "list", "all")

_FORWARD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*:[0-9]{1,5}", re.ASCII)

UNKNOWN_MODELS = ("auto", "refuse", "free")

ENCRYPT_WITH = ("secret", "kms")

_KMS_KEY = re.compile(r"arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+", re.ASCII)

_API_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)

OWN_HEADERS = HOP_BY_HOP | {
    "accept-encoding",
    "anthropic-beta",
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "x-api-key",
}
"""Request headers that the broker writes itself, or never sends: no setting lets a sandbox's through."""

MOST_RESERVE_PERCENT = 50
"""Of a disk: a larger share is a mistake."""

MOST_PROTECT_MINUTES = 2880
"""The longest that ECS protects a task at a time (UpdateTaskProtection's `expiresInMinutes`, documented)."""

NOT_OURS: Mapping[str, str] = MappingProxyType({"ecs_agent_uri": "ECS_AGENT_URI"})
"""Variables that others set for a gateway, by setting."""

LEAST: Mapping[str, float] = MappingProxyType(
    {
        "snapshot_mb": 1,
        "snapshot_seconds": 1,
        "message_ttl_days": 0.01,
        "audit_days": 1,
        "idle_minutes": 0.01,
        "pool_max_minutes": 0.01,
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
        "file_mb": 1,
        "head_seconds": 0.1,
        "keepalive_seconds": 1,
        "body_seconds": 0.1,
        "answer_seconds": 0.1,
        "body_kb_per_second": 1,
        "stream_frames_per_second": 1000,
        "stream_mb_per_second": 1,
        "stream_control_burst": 20,
        "messages_per_second": 1,
        "git_push_mb": 1,
        "git_fetch_mb": 1,
        "egress_connections": 1,
        "sandbox_egress_connections": 1,
        "egress_idle_seconds": 1,
    }
)
"""The least value of each number that may not be 0: below it loops spin, or what is made is over at once."""

SECRET_BYTES = 32
"""Least length of a signing secret: RFC 7518 section 3.2 wants a key as long as the hash's output."""


SECRETS = (
    "VF_JWT_SECRET",
    "VF_SANDBOX_SECRET",
    "VF_CREDENTIAL_KEY",
    "VF_LAUNCHER_SECRET",
    "VF_PROXY_SECRET",
    "VF_JWT_SECRET_ACCEPTED",
    "VF_SANDBOX_SECRET_ACCEPTED",
    "VF_CREDENTIAL_KEY_ACCEPTED",
    "VF_LAUNCHER_SECRET_ACCEPTED",
    "VF_PROXY_SECRET_ACCEPTED",
    "VF_MODEL_API_KEY",
)
"""Variables that may stand in a file instead, which the variable with `_FILE` behind it names."""

MOST_LEEWAY_SECONDS = 50
"""More would keep live connections for more than a minute behind their token's end."""


class ConfigError(Exception):
    """A setting is missing or bad; the message names the variable and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the gateway can be told. The variable of `queue_limit` is `VF_QUEUE_LIMIT`, and so on (but see
    `NOT_OURS`)."""

    stack: str
    jwt_secret: str
    sandbox_secret: str
    credential_key: str
    jwt_secret_accepted: str = ""
    """While a secret is rotated there are two. What is made is made with the first; this other one, the one before or
    the one to come, is taken as well. So for each of the five."""
    sandbox_secret_accepted: str = ""
    credential_key_accepted: str = ""
    launcher_secret_accepted: str = ""
    proxy_secret_accepted: str = ""
    host: str = "0.0.0.0"  # noqa: S104 - a container's own network decides who reaches it
    port: int = 8080
    broker_port: int = 8081
    sandbox_networks: str = ""
    """What sandboxes' networks are cut out of, as 10.213.0.0/16: the public port is opened at no address in it, where
    `host` is all that there are. Empty: at all of them."""
    base_path: str = ""
    """A path such as `/forge` that all is found under, besides `/`: for a proxy in front that does not take it away."""
    jwt_audience: str = "vaporforge"
    jwt_issuer: str = ""
    token_leeway_seconds: int = 30
    """How far the clock of the machine that makes tokens may be off: `iat` and `nbf` may lie so far ahead, and `exp` so
    far back. A live connection ends as much behind its token's end, and promises to within a minute."""
    allowed_origins: tuple[str, ...] = ()
    table: str = "vaporforge"
    table_create: bool = False
    dynamodb_endpoint: str = ""
    region: str = "us-east-1"
    driver: str = "docker"
    launcher_url: str = "http://launcher:8090"
    launcher_secret: str = ""
    process_root: str = ""
    ecs_cluster: str = ""
    """The `ecs` driver's: the cluster's ARN, the ARN of the sandbox's task definition with its revision, and the ids of
    the subnets and security groups that tasks are in."""
    ecs_task_definition: str = ""
    ecs_subnets: tuple[str, ...] = ()
    ecs_security_groups: tuple[str, ...] = ()
    ecs_spot: bool = False
    """Whether tasks are started on Fargate Spot while it has room: cheaper, and AWS may take them back."""
    ecs_public_ip: bool = False
    """Whether tasks get a public address: they are in public subnets, and get their image through it."""
    ecs_endpoint: str = ""
    ecs_agent_uri: str = ""
    """Where this gateway's own task finds the agent of ECS: ECS says so, as ECS_AGENT_URI. Empty: it is no task."""
    protect_minutes: float = 15.0
    """How long this gateway's task is protected from scale-in and deployments while it records runs; 0: never."""
    agent: str = "demo"
    model: str = ""
    model_api_url: str = "https://api.anthropic.com"
    model_api_key: str = ""
    model_network_tools: bool = False
    """Whether what makes the model's API reach the network is let through: its web, code and MCP tools, and addresses
    and files in place of content. The others name what is let through besides (gateway/broker/api_names.py)."""
    model_api_allow_headers: tuple[str, ...] = ()
    model_api_allow_betas: tuple[str, ...] = ()
    model_api_allow_fields: tuple[str, ...] = ()
    model_api_allow_tools: tuple[str, ...] = ()
    model_api_allow_content: tuple[str, ...] = ()
    http_proxy: str = ""
    """The proxy by which the model's API is asked; empty: the one that HTTPS_PROXY and HTTP_PROXY name, if any.
    `no_proxy`: hosts, and domains as `.example.com`, that are asked without it; separated by commas."""
    no_proxy: str = ""
    blobs: str = ""
    s3_endpoint: str = ""
    snapshot_mb: int = 4096
    snapshot_seconds: float = 600.0
    snapshot_tries: int = 10
    stored_mb: int = 0
    """Of all snapshots together, where they are in a folder, MiB; 0: no limit but the disk's. `disk_reserve_percent`:
    of that folder's disk what stays free."""
    disk_reserve_percent: float = 10.0
    message_ttl_days: float = 7.0
    encrypt: bool = True
    """Whether messages and frames are encrypted in the table; what is encrypted is read in any case."""
    encrypt_with: str = "secret"
    """What data keys are encrypted with: `secret`, a key that is derived from `credential_key`, or `kms`, AWS KMS's key
    whose ARN is `kms_arn`. What either has encrypted is opened. `kms_endpoint`: of a KMS of one's own."""
    kms_arn: str = ""
    kms_endpoint: str = ""
    idle_minutes: float = 15.0
    background_minutes: float = 60.0
    redact: bool = True
    """Whether secrets are struck from frames, in sandboxes before they are numbered and here before they are kept."""
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
    budget_run_usd: float = 0.0
    """Budgets in US dollars, for a run, a session, a user's day and everybody's day (UTC); 0: none. A run is told of it
    at `budget_soft_percent` (0: never), and its calls are refused and cut where it is used up."""
    budget_session_usd: float = 0.0
    budget_user_day_usd: float = 500.0
    budget_stack_day_usd: float = 5_000.0
    budget_soft_percent: int = 80
    model_prices: str = ""
    """What is added to the table of prices, as gateway/broker/metering/prices.py reads it."""
    unknown_models: str = "auto"
    """Models that have no price are called for free, or refused; `auto`: refused where there is a budget and the API is
    Anthropic's own."""
    pool_size: int = 0
    """Sandboxes that are kept started for sessions to come; 0: none. `pool_schedule`: windows in which it is another
    number, as gateway/schedule.py reads them. `pool_max_minutes`: the age at which one of them is replaced."""
    pool_schedule: str = ""
    pool_max_minutes: float = 120.0
    start_seconds: float = 60.0
    lease_seconds: float = 10.0
    drain_seconds: float = 20.0
    stop_seconds: float = 10.0
    ticket_seconds: float = 60.0
    proxy_secret: str = ""
    """Whoever sends it is the stack's own proxy, and is believed about its clients' addresses; empty: nobody is."""
    proxy_only: bool = False
    """Nobody but a proxy of the stack's own reaches the public port, so that every request's X-Forwarded-For is
    believed: a load balancer behind whose security group the gateways are, which sends no secret."""
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
    file_mb: int = 2048
    """What a file of a workspace may have in MiB, up and down, and a folder that is downloaded."""
    git_hosts: tuple[str, ...] = ()
    """Git hosts that sandboxes reach through the broker, where their users do too; an entry may have a scheme, a port
    and a path below which repositories must be. `git_force_push`: whether pushes may delete, and lose what a branch
    had. `git_push_mb`, `git_fetch_mb`: the longest of each, in MiB."""
    git_force_push: bool = False
    git_push_mb: int = 512
    git_fetch_mb: int = 8192
    egress: str = "none"
    """What sandboxes reach by the proxy at `egress_port`: `none`, then there is no such proxy; `registries`; `list`;
    `all`. `egress_allow`: hosts, `*.suffixes` and presets beside; `egress_proxy`: host and port of the stack's forward
    proxy; `egress_learn`: all passes, and what is on no list is logged; `egress_session_allow`: whether a session's
    owner may allow hosts."""
    egress_allow: tuple[str, ...] = ()
    egress_learn: bool = False
    egress_session_allow: bool = True
    egress_proxy: str = ""
    egress_port: int = 3128
    egress_connections: int = 1000
    """Open at once through this gateway's proxy; `sandbox_egress_connections` of them a sandbox's."""
    sandbox_egress_connections: int = 64
    egress_idle_seconds: float = 300.0
    egress_mb_per_day: int = 50_000
    head_seconds: float = 10.0
    keepalive_seconds: float = 20.0
    """Longer than the proxy's own: a connection that both close at once loses a request."""
    answer_seconds: float = 60.0
    """So long a client may take nothing of an answer that waits for it."""
    body_seconds: float = 10.0
    """For a request's body, and one more second for each `body_kb_per_second` of it (KiB)."""
    body_kb_per_second: int = 16
    stream_frames_per_second: int = 50_000
    stream_mb_per_second: int = 256
    stream_control_burst: int = 2000
    messages_per_second: float = 10.0
    log_level: str = "INFO"
    metrics: str = "off"
    """`emf`: a line a minute on stdout, which CloudWatch Logs makes metrics of."""
    admins: tuple[str, ...] = ()
    """Who may read the audit: the `sub` of their tokens."""
    audit_days: float = 365.0
    """How long the audit's blocks are kept."""

    @property
    def pool(self) -> Schedule:
        """How large the pool is when. Raises `ValueError` for a `pool_schedule` that `read_settings` refuses."""
        return read_schedule(self.pool_schedule, self.pool_size)

    @property
    def keeps_files(self) -> bool:
        """Whether a sandbox's files are still there when it has stopped: on volumes."""
        return self.driver != "ecs"

    @property
    def needs_credential(self) -> bool:
        """Whether the agent cannot work without a model credential: `claude`; what others need is not known here."""
        return self.agent == "claude"


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from the `VF_*` variables and those of `NOT_OURS`; empty is unset. Raises `ConfigError` naming the first
    bad one."""
    try:
        environ = with_files(environ, SECRETS)
    except SecretFileError as error:
        raise ConfigError(str(error)) from None
    values: dict[str, Any] = {}
    for item in fields(Settings):
        variable = NOT_OURS.get(item.name, f"VF_{item.name.upper()}")
        text = environ.get(variable, "").strip()
        if text:
            values[item.name] = _parse(variable, text, str(item.type), LEAST.get(item.name, 0))
        elif item.default is MISSING:
            raise ConfigError(f"{variable} is not set; it is required")
    if values.get("driver") == "ecs":
        values.setdefault("start_seconds", ECS_START_SECONDS)
    settings = Settings(**values)
    _check_secrets(settings)
    _check_address_and_clock(settings)
    _check_networks(settings)
    if settings.blobs and not _BLOBS.fullmatch(settings.blobs):
        raise ConfigError(
            f"VF_BLOBS is {settings.blobs!r}; it must be folder:/an/absolute/path or s3://bucket[/prefix]"
        )
    if settings.s3_endpoint and not settings.s3_endpoint.startswith(("http://", "https://")):
        raise ConfigError(f"VF_S3_ENDPOINT is {settings.s3_endpoint!r}; it must be an http or https URL")
    if settings.http_proxy and not settings.http_proxy.startswith(("http://", "https://")):
        raise ConfigError(f"VF_HTTP_PROXY is {settings.http_proxy!r}; it must be an http or https URL")
    _check_most(settings)
    _check_choices(settings)
    _check_model_api(settings)
    _check_egress(settings)
    _check_kms(settings)
    _check_driver(settings)
    _check_budgets(settings)
    try:
        read_schedule(settings.pool_schedule, settings.pool_size)
    except ValueError as error:
        raise ConfigError(f"VF_POOL_SCHEDULE is {settings.pool_schedule!r}; {error}") from None
    return settings


def _check_secrets(settings: Settings) -> None:
    for variable, secret in (
        ("VF_JWT_SECRET", settings.jwt_secret),
        ("VF_SANDBOX_SECRET", settings.sandbox_secret),
        ("VF_CREDENTIAL_KEY", settings.credential_key),
        ("VF_JWT_SECRET_ACCEPTED", settings.jwt_secret_accepted),
        ("VF_SANDBOX_SECRET_ACCEPTED", settings.sandbox_secret_accepted),
        ("VF_CREDENTIAL_KEY_ACCEPTED", settings.credential_key_accepted),
    ):
        if len(secret.encode()) < SECRET_BYTES and (secret or not variable.endswith("_ACCEPTED")):
            raise ConfigError(
                f"{variable} has {len(secret.encode())} bytes; it needs at least {SECRET_BYTES} random ones"
            )


def _check_most(settings: Settings) -> None:
    for variable, value, most in (
        ("VF_PROTECT_MINUTES", settings.protect_minutes, MOST_PROTECT_MINUTES),
        ("VF_DISK_RESERVE_PERCENT", settings.disk_reserve_percent, MOST_RESERVE_PERCENT),
    ):
        if value > most:
            raise ConfigError(f"{variable} is '{value:g}'; it must be {most} or less")


def _check_driver(settings: Settings) -> None:
    if settings.driver == "docker" and not settings.launcher_secret:
        raise ConfigError("VF_LAUNCHER_SECRET is not set; the docker driver needs the launcher's secret")
    if settings.driver == "process" and not settings.process_root:
        raise ConfigError("VF_PROCESS_ROOT is not set; the process driver needs a folder for its sandboxes")
    if settings.driver == "ecs":
        _check_ecs(settings)


def _check_ecs(settings: Settings) -> None:
    for variable, value, example in (
        ("VF_ECS_CLUSTER", settings.ecs_cluster, "the cluster's ARN"),
        ("VF_ECS_TASK_DEFINITION", settings.ecs_task_definition, "the ARN of a task definition's revision"),
        ("VF_ECS_SUBNETS", settings.ecs_subnets, "ids of subnets, separated by commas"),
        (
            "VF_ECS_SECURITY_GROUPS",
            settings.ecs_security_groups,
            "ids of security groups, separated by commas",
        ),
        (
            "VF_BLOBS",
            settings.blobs,
            "s3://bucket[/prefix]: a task has no volumes, and snapshots are its files",
        ),
    ):
        if not value:
            raise ConfigError(f"{variable} is not set; the ecs driver needs {example}")
    if not _TASK_DEFINITION.fullmatch(settings.ecs_task_definition):
        raise ConfigError(
            f"VF_ECS_TASK_DEFINITION is {settings.ecs_task_definition!r}; it must end in family:revision, so that all "
            "gateways start the same"
        )
    for variable, ids, known, most in (
        ("VF_ECS_SUBNETS", settings.ecs_subnets, _SUBNET, MOST_SUBNETS),
        ("VF_ECS_SECURITY_GROUPS", settings.ecs_security_groups, _SECURITY_GROUP, MOST_SECURITY_GROUPS),
    ):
        bad = next((one for one in ids if not known.fullmatch(one)), None)
        if bad is not None:
            raise ConfigError(f"{variable} has {bad!r}; it must be ids: {known.pattern.partition('[')[0]}…")
        if len(ids) > most:
            raise ConfigError(f"{variable} has {len(ids)} ids; a task takes {most} at most")
    if settings.ecs_endpoint and not settings.ecs_endpoint.startswith(("http://", "https://")):
        raise ConfigError(f"VF_ECS_ENDPOINT is {settings.ecs_endpoint!r}; it must be an http or https URL")


def _check_model_api(settings: Settings) -> None:
    for name in ("headers", "betas", "fields", "tools", "content"):
        added = getattr(settings, f"model_api_allow_{name}")
        bad = next((one for one in added if not _API_NAME.fullmatch(one)), None)
        if bad is None and name == "headers":
            bad = next((one for one in added if one.lower() in OWN_HEADERS), None)
        if bad is not None:
            raise ConfigError(
                f"VF_MODEL_API_ALLOW_{name.upper()} has {bad!r}; it must be names of the model's API, separated by "
                "commas, and of headers none that the broker writes itself"
            )


def _check_egress(settings: Settings) -> None:
    if settings.egress != "none" and not _FORWARD.fullmatch(settings.egress_proxy):
        raise ConfigError(
            f"VF_EGRESS_PROXY is {settings.egress_proxy!r}; with VF_EGRESS {settings.egress} it must be "
            "host:port of the forward proxy"
        )


def _check_kms(settings: Settings) -> None:
    if (settings.kms_arn or settings.encrypt_with == "kms") and not _KMS_KEY.fullmatch(settings.kms_arn):
        raise ConfigError(
            f"VF_KMS_ARN is {settings.kms_arn!r}; it must be the ARN of a key of KMS, as "
            "arn:aws:kms:REGION:ACCOUNT:key/ID"
        )
    if settings.kms_endpoint and not settings.kms_endpoint.startswith(("http://", "https://")):
        raise ConfigError(f"VF_KMS_ENDPOINT is {settings.kms_endpoint!r}; it must be an http or https URL")


def _check_choices(settings: Settings) -> None:
    for variable, chosen, known in (
        ("VF_DRIVER", settings.driver, DRIVERS),
        ("VF_METRICS", settings.metrics, METRICS),
        ("VF_EGRESS", settings.egress, EGRESS),
        ("VF_UNKNOWN_MODELS", settings.unknown_models, UNKNOWN_MODELS),
        ("VF_ENCRYPT_WITH", settings.encrypt_with, ENCRYPT_WITH),
    ):
        if chosen not in known:
            raise ConfigError(f"{variable} is {chosen!r}; it must be one of {', '.join(known)}")


def _check_budgets(settings: Settings) -> None:
    if settings.budget_soft_percent > MOST_SOFT_PERCENT:
        raise ConfigError(
            f"VF_BUDGET_SOFT_PERCENT is '{settings.budget_soft_percent}'; it must be {MOST_SOFT_PERCENT} or less"
        )
    for part in filter(None, (part.strip() for part in settings.model_prices.split(","))):
        if not MODEL_PRICE.fullmatch(part):
            raise ConfigError(
                f"VF_MODEL_PRICES has {part!r}; it must be model=input/output in US dollars for a million tokens, such "
                "as my-model=3/15, separated by commas"
            )


def _check_address_and_clock(settings: Settings) -> None:
    if settings.base_path and not _BASE_PATH.fullmatch(settings.base_path):
        raise ConfigError(
            f"VF_BASE_PATH is {settings.base_path!r}; it must be a path such as /forge: / first, none last"
        )
    if settings.token_leeway_seconds > MOST_LEEWAY_SECONDS:
        raise ConfigError(
            f"VF_TOKEN_LEEWAY_SECONDS is '{settings.token_leeway_seconds}'; it must be {MOST_LEEWAY_SECONDS} or less"
        )


def _check_networks(settings: Settings) -> None:
    try:
        ipaddress.IPv4Network(settings.sandbox_networks or "0.0.0.0/0")
    except ValueError as error:
        raise ConfigError(
            f"VF_SANDBOX_NETWORKS is {settings.sandbox_networks!r}; it must be a network as 10.213.0.0/16 ({error})"
        ) from None


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
