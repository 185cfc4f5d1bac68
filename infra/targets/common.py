"""What the targets have in common: the settings that every gateway has, and what a stack tells."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pulumi

from infra.config import Settings
from infra.values import egress_entries, git_host_entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What the stack tells about itself. `url`: empty when down. `jwt_secret` signs users' tokens, and
    what the table has of users is encrypted with keys that `credential_key` opens; `images`: names by
    part, empty when down. `instance`: what its gateways say that they are, and nobody else can know. `more`: outputs
    that this target has besides."""

    jwt_secret: pulumi.Output[str]
    credential_key: pulumi.Output[str]
    instance: pulumi.Output[str]
    images: dict[str, str]
    url: pulumi.Input[str]
    more: Mapping[str, Any] = field(default_factory=dict)


GATEWAY_NUMBERS: Final = (
    "connections",
    "user_connections",
    "broker_connections",
    "sandbox_connections",
    "sandbox_calls",
    "call_mb",
    "file_mb",
    "head_seconds",
    "body_seconds",
    "body_kb_per_second",
    "queue_limit",
    "start_seconds",
    "stop_seconds",
    "snapshot_mb",
    "snapshot_seconds",
    "prompts_per_minute",
    "prompts_per_day",
    "sessions_per_hour",
    "sessions_per_user",
    "stored_mb_per_user",
    "tickets_per_minute",
    "failed_sign_ins",
    "sandboxes_per_user",
    "sandboxes",
    "model_calls_per_minute",
    "model_mb_per_day",
    "egress_connections",
    "sandbox_egress_connections",
    "egress_idle_seconds",
    "egress_mb_per_day",
    "git_push_mb",
    "git_fetch_mb",
    "budget_run_usd",
    "budget_session_usd",
    "budget_user_day_usd",
    "budget_stack_day_usd",
    "budget_soft_percent",
    "model_prices",
    "unknown_models",
    "pool_size",
    "pool_max_minutes",
    "idle_minutes",
    "background_minutes",
    "message_ttl_days",
    "audit_days",
    "stream_frames_per_second",
    "stream_mb_per_second",
    "stream_control_burst",
    "messages_per_second",
)
"""Settings of the stack that are the gateway's own, by the same name."""


def own_secrets(settings: Settings) -> dict[str, pulumi.Output[str] | None]:
    """Those that whoever deploys may set, by the names of infra/generated.py."""
    return {"jwt": settings.jwt_secret, "credential": settings.credential_key}


def instance_of(sandbox_secret: str) -> str:
    """As the gateway derives it (gateway/ids.py)."""
    return hmac.digest(sandbox_secret.encode(), b"vaporforge: instance", "sha256").hex()[:32]


def egress_environment(settings: Settings, port: int, proxy: str) -> dict[str, pulumi.Input[str]]:
    """What gateways are told of the hosts that sandboxes reach. `port`: at which these ask them; `proxy`: the forward
    proxy's host and port."""
    return {
        "VF_EGRESS": settings.egress,
        "VF_EGRESS_ALLOW": ",".join(egress_entries(settings.egress_allow)),
        "VF_EGRESS_LEARN": "true" if settings.egress_learn else "",
        "VF_EGRESS_SESSION_ALLOW": "" if settings.egress_session_allow else "false",
        "VF_EGRESS_PORT": str(port),
        "VF_EGRESS_PROXY": proxy,
    }


def git_hosts(settings: Settings) -> str:
    """As gateways and sandboxes are told of them."""
    return ",".join(git_host_entries(settings.git_hosts))


def gateway_environment(settings: Settings) -> dict[str, pulumi.Input[str]]:
    """The gateway's settings (`gateway/config.py`) that are the stack's own, and no secrets."""
    env: dict[str, pulumi.Input[str]] = {
        "VF_BASE_PATH": settings.base_path,
        "VF_JWT_AUDIENCE": settings.jwt_audience,
        "VF_TOKEN_LEEWAY_SECONDS": str(settings.token_leeway_seconds),
        "VF_ALLOWED_ORIGINS": settings.allowed_origins,
        "VF_ADMINS": settings.admins,
        "VF_REGION": settings.region,
        "VF_ENCRYPT": str(settings.encrypt).lower(),
        "VF_AGENT": settings.agent,
        "VF_MODEL": settings.model,
        "VF_REDACT": str(settings.redact).lower(),
        "VF_MODEL_API_URL": settings.model_api_url,
        "VF_MODEL_NETWORK_TOOLS": str(settings.sandbox_internet).lower(),
        "VF_MODEL_API_ALLOW_HEADERS": settings.model_api_allow_headers,
        "VF_MODEL_API_ALLOW_BETAS": settings.model_api_allow_betas,
        "VF_MODEL_API_ALLOW_FIELDS": settings.model_api_allow_fields,
        "VF_MODEL_API_ALLOW_TOOLS": settings.model_api_allow_tools,
        "VF_MODEL_API_ALLOW_CONTENT": settings.model_api_allow_content,
        "VF_HTTP_PROXY": settings.http_proxy,
        "VF_NO_PROXY": settings.no_proxy,
        "VF_GIT_HOSTS": git_hosts(settings),
        "VF_GIT_FORCE_PUSH": "true" if settings.git_force_push else "",
        "VF_POOL_SCHEDULE": settings.pool_schedule,
        "VF_LOG_LEVEL": settings.log_level,
    }
    return env | {f"VF_{name.upper()}": str(getattr(settings, name)) for name in GATEWAY_NUMBERS}
