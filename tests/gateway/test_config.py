"""Settings from the environment: defaults, every kind of value, and what is said about a bad one."""

from __future__ import annotations

import dataclasses
import re

import pytest

from gateway.config import LEAST, ConfigError, Settings, read_settings

SECRET = "s" * 32
GOOD = {
    "VF_STACK": "test",
    "VF_JWT_SECRET": SECRET,
    "VF_SANDBOX_SECRET": SECRET,
    "VF_CREDENTIAL_KEY": SECRET,
    "VF_LAUNCHER_SECRET": "launcher",
}


def test_the_least_environment_gives_the_documented_defaults() -> None:
    settings = read_settings(GOOD)
    assert (settings.port, settings.broker_port, settings.driver, settings.agent) == (
        8080,
        8081,
        "docker",
        "demo",
    )
    assert (settings.message_ttl_days, settings.idle_minutes, settings.ticket_seconds) == (7.0, 15.0, 60.0)
    assert settings.allowed_origins == ()
    assert not settings.needs_credential


def test_every_kind_of_value_is_read() -> None:
    settings = read_settings(
        {
            **GOOD,
            "VF_PORT": " 9000 ",
            "VF_IDLE_MINUTES": "0.5",
            "VF_TABLE_CREATE": "True",
            "VF_ALLOWED_ORIGINS": "https://a.example, https://b.example,",
            "VF_AGENT": "claude",
        }
    )
    assert settings.port == 9000
    assert settings.idle_minutes == 0.5
    assert settings.table_create is True
    assert settings.allowed_origins == ("https://a.example", "https://b.example")
    assert settings.needs_credential


@pytest.mark.parametrize(("agent", "needs"), [("claude", True), ("demo", False), ("our-own", False)])
def test_only_claude_needs_a_credential(agent: str, needs: bool) -> None:
    assert read_settings({**GOOD, "VF_AGENT": agent}).needs_credential is needs


def test_an_empty_variable_is_unset_and_unknown_ones_are_ignored() -> None:
    assert read_settings(
        {**GOOD, "VF_PORT": "", "VF_HOST": "  ", "VF_NO_SUCH": "x", "PATH": "y"}
    ) == read_settings(GOOD)


def test_settings_cannot_be_changed() -> None:
    settings = read_settings(GOOD)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]


@pytest.mark.parametrize("variable", ["VF_STACK", "VF_JWT_SECRET", "VF_SANDBOX_SECRET", "VF_CREDENTIAL_KEY"])
def test_a_required_variable_that_is_missing_is_named(variable: str) -> None:
    with pytest.raises(ConfigError, match=f"^{variable} is not set"):
        read_settings({name: value for name, value in GOOD.items() if name != variable})


@pytest.mark.parametrize("variable", ["VF_JWT_SECRET", "VF_SANDBOX_SECRET", "VF_CREDENTIAL_KEY"])
def test_a_short_secret_is_refused_and_not_repeated(variable: str) -> None:
    with pytest.raises(ConfigError, match=f"^{variable} has 14 bytes; it needs at least 32") as caught:
        read_settings({**GOOD, variable: "tooshortsecret"})
    assert "tooshortsecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VF_PORT", "http"),
        ("VF_METRICS", "statsd"),
        ("VF_TOKEN_LEEWAY_SECONDS", "51"),
        ("VF_TOKEN_LEEWAY_SECONDS", "-1"),
        ("VF_BASE_PATH", "forge"),
        ("VF_BASE_PATH", "/forge/"),
        ("VF_BASE_PATH", "/a/../b"),
        ("VF_BASE_PATH", "/api"),
        ("VF_BASE_PATH", "/{x}"),
        ("VF_PORT", "80.5"),
        ("VF_PORT", "-1"),
        ("VF_IDLE_MINUTES", "soon"),
        ("VF_IDLE_MINUTES", "nan"),
        ("VF_IDLE_MINUTES", "inf"),
        ("VF_IDLE_MINUTES", "0"),
        ("VF_LEASE_SECONDS", "0"),
        ("VF_LEASE_SECONDS", "0.2"),
        ("VF_START_SECONDS", "0"),
        ("VF_SNAPSHOT_SECONDS", "0"),
        ("VF_SNAPSHOT_MB", "0"),
        ("VF_TICKET_SECONDS", "0"),
        ("VF_MESSAGE_TTL_DAYS", "0"),
        ("VF_STREAM_FRAMES_PER_SECOND", "999"),
        ("VF_STREAM_MB_PER_SECOND", "0"),
        ("VF_STREAM_CONTROL_BURST", "1"),
        ("VF_MESSAGES_PER_SECOND", "0"),
        ("VF_TABLE_CREATE", "perhaps"),
        ("VF_DRIVER", "kubernetes"),
    ],
)
def test_a_bad_value_is_named_with_its_remedy(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{variable} is '{value}'; it must be "):
        read_settings({**GOOD, variable: value})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VF_MODEL_API_ALLOW_BETAS", "*"),
        ("VF_MODEL_API_ALLOW_TOOLS", "web search"),
        ("VF_MODEL_API_ALLOW_HEADERS", "X-Api-Key"),
        ("VF_MODEL_API_ALLOW_HEADERS", "transfer-encoding"),
        ("VF_MODEL_API_ALLOW_HEADERS", "anthropic-beta"),
    ],
)
def test_a_name_that_is_not_let_through_to_the_api_is_named(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{variable} has '{re.escape(value)}'; it must be names"):
        read_settings({**GOOD, variable: f"fine, {value}"})


def test_a_schedule_of_the_pool_is_read_and_a_bad_one_named_with_its_remedy() -> None:
    window = "Mon-Sun 00:00-24:00 UTC 7"
    assert read_settings(GOOD).pool.largest == 0
    settings = read_settings({**GOOD, "VF_POOL_SIZE": "3", "VF_POOL_SCHEDULE": window})
    assert (settings.pool.size(0.0), settings.pool.otherwise) == (7, 3)
    with pytest.raises(
        ConfigError, match=r"^VF_POOL_SCHEDULE is '.* Berlin 7'; it must be .*: 'Berlin' is not a time zone"
    ):
        read_settings({**GOOD, "VF_POOL_SCHEDULE": window.replace("UTC", "Berlin")})


def test_a_least_value_is_that_of_a_setting_and_below_its_default() -> None:
    defaults = read_settings(GOOD)
    assert all(0 < least <= getattr(defaults, name) for name, least in LEAST.items())
    assert read_settings({**GOOD, "VF_QUEUE_LIMIT": "0"}).queue_limit == 0


def test_each_driver_says_what_it_needs() -> None:
    without = {name: value for name, value in GOOD.items() if name != "VF_LAUNCHER_SECRET"}
    with pytest.raises(ConfigError, match=r"^VF_LAUNCHER_SECRET is not set"):
        read_settings(without)
    with pytest.raises(ConfigError, match=r"^VF_PROCESS_ROOT is not set"):
        read_settings({**without, "VF_DRIVER": "process"})
    assert (
        read_settings({**without, "VF_DRIVER": "process", "VF_PROCESS_ROOT": "boxes"}).process_root == "boxes"
    )


def test_every_setting_is_of_a_type_that_can_be_read() -> None:
    assert {str(item.type) for item in dataclasses.fields(Settings)} <= {
        "str",
        "int",
        "float",
        "bool",
        "tuple[str, ...]",
    }


ECS = {
    **GOOD,
    "VF_DRIVER": "ecs",
    "VF_LAUNCHER_SECRET": "",
    "VF_BLOBS": "s3://bucket",
    "VF_ECS_CLUSTER": "arn:aws:ecs:eu-west-1:123456789012:cluster/shop",
    "VF_ECS_TASK_DEFINITION": "arn:aws:ecs:eu-west-1:123456789012:task-definition/shop-sandbox:3",
    "VF_ECS_SUBNETS": "subnet-0a1, subnet-0b2",
    "VF_ECS_SECURITY_GROUPS": "sg-0c3",
}


def test_the_ecs_driver_has_settings_of_its_own() -> None:
    settings = read_settings({**ECS, "VF_ECS_SPOT": "true"})
    assert (settings.ecs_subnets, settings.ecs_security_groups) == (("subnet-0a1", "subnet-0b2"), ("sg-0c3",))
    assert (settings.ecs_spot, settings.ecs_public_ip, settings.keeps_files) == (True, False, False)
    assert settings.start_seconds == 180.0
    assert read_settings({**ECS, "VF_START_SECONDS": "90"}).start_seconds == 90.0
    assert (read_settings(GOOD).start_seconds, read_settings(GOOD).keeps_files) == (60.0, True)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("VF_ECS_CLUSTER", "", "not set; the ecs driver needs the cluster's ARN"),
        ("VF_ECS_TASK_DEFINITION", "", "not set"),
        ("VF_ECS_SUBNETS", "", "not set"),
        ("VF_ECS_SECURITY_GROUPS", "", "not set"),
        ("VF_BLOBS", "", "not set; the ecs driver needs s3://bucket"),
        ("VF_ECS_TASK_DEFINITION", "shop-sandbox", "family:revision"),
        ("VF_ECS_SUBNETS", "subnet-0a1,sg-0c3", "'sg-0c3'; it must be ids: subnet-"),
        ("VF_ECS_SECURITY_GROUPS", "group", "it must be ids: sg-"),
        ("VF_ECS_SUBNETS", ",".join(f"subnet-{number}" for number in range(17)), "16 at most"),
        ("VF_ECS_SECURITY_GROUPS", ",".join(f"sg-{number}" for number in range(6)), "5 at most"),
        ("VF_ECS_ENDPOINT", "localhost:4566", "http or https URL"),
        ("VF_ECS_SPOT", "maybe", "true or false"),
    ],
)
def test_a_bad_setting_of_the_ecs_driver_is_named(variable: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"{variable} (is|has)") as caught:
        read_settings({**ECS, variable: value})
    assert said in str(caught.value)


def test_the_address_of_ecs_agent_is_the_one_that_ecs_gives() -> None:
    agent = "http://169.254.170.2/api/0123"
    settings = read_settings({**ECS, "ECS_AGENT_URI": agent, "VF_PROTECT_MINUTES": "10"})
    assert (settings.ecs_agent_uri, settings.protect_minutes) == (agent, 10.0)
    assert read_settings({**ECS, "VF_ECS_AGENT_URI": agent}).ecs_agent_uri == ""
    with pytest.raises(ConfigError, match="VF_PROTECT_MINUTES is '2881'; it must be 2880 or less"):
        read_settings({**ECS, "VF_PROTECT_MINUTES": "2881"})
