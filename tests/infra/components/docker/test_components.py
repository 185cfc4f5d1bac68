"""What each part of a stack is declared as: hardening, networks, order, secrets, settings."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.components.docker.machine import Machine
from infra.config import ROOT, Settings
from infra.program import program
from tests.infra.certificates import certificate_and_key
from tests.infra.mocked import IMAGE_ID, MADE, STACK_ID, Declared, Program, run, strings

PARTS = ["gateway-0", "gateway-1", "launcher", "proxy", "watch", "dynamodb"]


def networks_of(container: Declared) -> dict[str, list[str]]:
    """By the network's part: the names that the container is known by there."""
    return {
        item["name"].removeprefix(f"{STACK_ID}-").removesuffix("-0abcdef"): item.get("aliases", [])
        for item in container.inputs["networksAdvanced"]
    }


def label_of(container: Declared, label: str) -> str:
    [value] = [item["value"] for item in container.inputs["labels"] if item["label"] == label]
    return str(value)


@pytest.mark.parametrize("part", PARTS)
def test_every_container_is_hardened(part: str, declared: Program) -> None:
    inputs = declared.container(part).inputs
    assert inputs["privileged"] is False
    assert inputs["readOnly"] is True
    # The launcher counts what sandboxes keep in folders that are theirs, and closed to others.
    kept = {"adds": ["CAP_DAC_READ_SEARCH"]} if part == "launcher" else {}
    assert inputs["capabilities"] == {"drops": ["ALL"], **kept}
    assert inputs["securityOpts"] == ["no-new-privileges:true"]
    assert inputs["logOpts"] == {"max-size": "10m", "max-file": "3"}
    assert inputs["image"] == IMAGE_ID


@pytest.mark.parametrize("part", PARTS)
def test_every_container_is_waited_for_and_labelled(part: str, declared: Program) -> None:
    container = declared.container(part)
    assert container.inputs["wait"] is (part != "watch")
    assert container.inputs["restart"] == "unless-stopped"
    assert label_of(container, "vaporforge.stack") == STACK_ID
    assert label_of(container, "vaporforge.role") in {"gateway", "launcher", "proxy", "watch", "table"}


@pytest.mark.parametrize("part", PARTS)
def test_every_container_has_limits(part: str, declared: Program) -> None:
    inputs = declared.container(part).inputs
    assert inputs["memory"] == inputs["memorySwap"] == {"launcher": 256, "watch": 64}.get(part, 1024)
    assert {"name": "nofile", "soft": 16384, "hard": 16384} in inputs["ulimits"]
    assert {"name": "core", "soft": 0, "hard": 0} in inputs["ulimits"]


def test_every_container_s_processes_are_limited(declared: Program) -> None:
    [limits] = declared.of_type(":ProcessLimits")
    assert set(limits.inputs["containers"].values()) == {f"{STACK_ID}-{part}-id" for part in PARTS}
    assert limits.inputs["pids"] == 512


def test_the_table_s_heap_fits_its_memory(declared: Program) -> None:
    container = declared.container("dynamodb").inputs
    assert container["command"][0] == "-Xmx614m"
    assert container["memory"] == 1024


def test_where_the_engine_cannot_limit_swap_it_is_told_what_it_would_say() -> None:
    swapless = Machine(memory_mb=8192, cpus=2, limits_swap=False)
    for container in run(program, machine=swapless).of_type(":Container"):
        assert (container.inputs["memory"] > 0, container.inputs["memorySwap"]) == (True, -1)


def test_only_the_launcher_has_the_engine_s_socket(declared: Program) -> None:
    own = ["/var/run/docker.sock", "/var/lib/docker/volumes"]
    for part in PARTS:
        mounted = [volume.get("hostPath") for volume in declared.container(part).inputs.get("volumes", [])]
        assert ("/var/run/docker.sock" in mounted) == (part == "launcher"), part
        assert set(mounted) <= {None, *(own if part == "launcher" else ())}, part
    assert volumes_of_engine(declared)["hostPath"] == "/var/lib/docker/volumes"
    assert volumes_of_engine(declared)["readOnly"] is True
    assert declared.env("launcher")["VF_DISK_FOLDER"] == volumes_of_engine(declared)["containerPath"]


def volumes_of_engine(stack: Program) -> Any:
    """The launcher's mount of the engine's folder of volumes; None where it has none."""
    mounts = stack.container("launcher").inputs["volumes"]
    return next((mount for mount in mounts if mount.get("containerPath") == "/volumes"), None)


def test_the_launcher_looks_where_the_engine_has_its_volumes() -> None:
    elsewhere = Machine(memory_mb=8192, cpus=2, data_folder="/data/docker/")
    assert volumes_of_engine(run(program, machine=elsewhere))["hostPath"] == "/data/docker/volumes"


def test_where_nobody_is_held_to_anything_the_launcher_looks_at_nothing() -> None:
    off = {"sandboxDiskMb": "0", "sandboxInodes": "0", "diskReservePercent": "0"}
    stack = run(program, off)
    assert volumes_of_engine(stack) is None
    assert stack.container("launcher").inputs["capabilities"] == {"drops": ["ALL"]}
    assert "VF_DISK_FOLDER" not in stack.env("launcher")


def test_only_the_proxy_publishes_a_port_and_only_here(declared: Program) -> None:
    for part in PARTS:
        ports = declared.container(part).inputs.get("ports", [])
        if part == "proxy":
            assert ports == [{"internal": 8080, "external": 8080, "ip": "127.0.0.1", "protocol": "tcp"}]
        else:
            assert ports == [], part


def test_who_may_talk_to_whom(declared: Program) -> None:
    gateway = {"public": ["gateway"], "control": ["gateway"]}
    assert networks_of(declared.container("gateway-0")) == gateway
    assert networks_of(declared.container("gateway-1")) == gateway
    assert networks_of(declared.container("launcher")) == {"control": ["launcher"]}
    assert networks_of(declared.container("dynamodb")) == {"control": ["dynamodb"]}
    assert networks_of(declared.container("proxy")) == {"public": ["proxy"]}


def test_only_the_public_network_has_a_way_out(declared: Program) -> None:
    internal = {
        item.name.removeprefix(f"{STACK_ID}-"): item.inputs["internal"]
        for item in declared.of_type(":Network")
    }
    assert internal == {"public": False, "control": True}
    for item in declared.of_type(":Network"):
        hidden = (item.inputs.get("options") or {}).get("com.docker.network.bridge.inhibit_ipv4") == "true"
        assert hidden is item.inputs["internal"]


@pytest.mark.parametrize("config", [{"egress": "registries"}, {"sandboxInternet": "true"}])
def test_the_forward_proxy_is_on_a_network_with_the_gateways_alone(config: dict[str, str]) -> None:
    stack = run(program, config)
    assert stack.named(f"{STACK_ID}-egress", ":Network").inputs["internal"] is False
    assert networks_of(stack.container("egress")) == {"egress": ["egress"]}
    assert networks_of(stack.container("gateway-0"))["egress"] == ["gateway"]
    for part in ("launcher", "dynamodb", "proxy"):
        assert "egress" not in networks_of(stack.container(part))
    assert stack.env("launcher")["VF_EGRESS_PROXY"] == "http://gateway:3128"
    gateway = stack.env("gateway-0")
    assert gateway["VF_EGRESS"] == config.get("egress", "all")
    assert (gateway["VF_EGRESS_PROXY"], gateway["VF_EGRESS_PORT"]) == ("egress:4750", "3128")
    assert stack.env("egress") == {"VF_TUNNELS": "4000"}


def test_egress_is_told_to_the_gateways_as_it_was_given() -> None:
    config = {
        "egress": "list",
        "egressAllow": "git, *.example.com",
        "egressLearn": "true",
        "egressSessionAllow": "false",
        "httpProxy": "http://proxy.example:3128",
    }
    stack = run(program, config)
    gateway = stack.env("gateway-0")
    told = {name: gateway[f"VF_EGRESS_{name}"] for name in ("ALLOW", "LEARN", "SESSION_ALLOW")}
    assert told == {"ALLOW": "git,*.example.com", "LEARN": "true", "SESSION_ALLOW": "false"}
    assert stack.env("egress")["VF_UPSTREAM_PROXY"] == "http://proxy.example:3128"


def test_without_egress_nothing_of_it_is_there(declared: Program) -> None:
    assert "VF_EGRESS_PROXY" not in declared.env("launcher") | declared.env("gateway-0")
    assert not [item.name for item in declared.resources.values() if "egress" in item.name]


def test_the_gateways_get_more_time_to_stop_than_they_take_to_drain(declared: Program) -> None:
    inputs = declared.container("gateway-0").inputs
    assert inputs["stopTimeout"] == inputs["destroyGraceSeconds"] == 30
    assert declared.env("gateway-0")["VF_DRAIN_SECONDS"] == "20"


def test_gateways_are_replaced_one_after_another_with_no_gap(declared: Program) -> None:
    first, second = declared.container("gateway-0"), declared.container("gateway-1")
    assert first.delete_before_replace is False
    assert second.delete_before_replace is False
    assert first.urn in second.dependencies


def test_the_new_launcher_is_there_before_the_old_one_goes(declared: Program) -> None:
    assert declared.container("launcher").delete_before_replace is False


def test_the_proxy_and_the_table_cannot_be_there_twice(declared: Program) -> None:
    assert declared.container("proxy").delete_before_replace
    assert declared.container("dynamodb").delete_before_replace


def test_nothing_gets_the_stack_s_name_where_another_deployment_has_it(declared: Program) -> None:
    guard = declared.named(f"{STACK_ID}-sessions", ":SessionVolumes")
    alone = {guard.name, f"{STACK_ID}-secrets"}
    for resource in declared.resources.values():
        if not resource.type.startswith("vaporforge:docker:") and resource.name not in alone:
            # A pulled image has no name of the stack's.
            assert guard.name in declared.before(resource) or resource.type.endswith(":RemoteImage"), (
                resource.name
            )


def test_what_the_engine_adds_to_a_network_does_not_replace_it() -> None:
    for network in run(program, {"sandboxInternet": "true"}).of_type(":Network"):
        assert network.ignore_changes == ("options", "ipv6"), network.name


def test_sandboxes_are_made_anew_when_their_networks_are_others(declared: Program) -> None:
    def scope(stack: Program) -> str:
        return str(stack.named(f"{STACK_ID}-sandboxes", ":SandboxContainers").inputs["scope"])

    assert scope(declared) == "10.213.0.0/16"
    assert scope(run(program, {"sandboxNetworks": "10.9.0.0/16"})) == "10.9.0.0/16"
    assert scope(run(program, {"sandboxInternet": "true"})) == "10.213.0.0/16:egress"


def test_each_sandbox_s_network_is_of_the_pool_and_holds_the_gateways_of_an_update(declared: Program) -> None:
    told = declared.env("launcher")
    assert (told["VF_SANDBOX_NETWORKS"], told["VF_SANDBOX_NETWORK_PREFIX"]) == ("10.213.0.0/16", "28")
    most = run(program, {"gatewayReplicas": "16", "sandboxNetworks": "10.9.0.0/16"})
    told = most.env("launcher")
    assert (told["VF_SANDBOX_NETWORKS"], told["VF_SANDBOX_NETWORK_PREFIX"]) == ("10.9.0.0/16", "26")
    # By this a gateway knows where its public port must not be.
    assert most.env("gateway-0")["VF_SANDBOX_NETWORKS"] == "10.9.0.0/16"


def test_a_gateway_leads_from_no_network_to_another(declared: Program) -> None:
    assert declared.container("gateway-0").inputs["sysctls"] == {"net.ipv4.ip_forward": "0"}


def test_gateways_start_after_what_they_call(declared: Program) -> None:
    before = declared.before(declared.container("gateway-0"))
    assert {f"{STACK_ID}-dynamodb", f"{STACK_ID}-launcher", f"{STACK_ID}-gateway-tag"} <= before


def test_sandboxes_go_after_the_launcher_and_before_their_network_and_volumes(declared: Program) -> None:
    launcher = declared.container("launcher")
    assert f"{STACK_ID}-sandboxes" in declared.before(launcher)
    sandboxes = declared.named(f"{STACK_ID}-sandboxes", ":SandboxContainers")
    gone_later = declared.before(sandboxes)
    assert {f"{STACK_ID}-control", f"{STACK_ID}-sessions", f"{STACK_ID}-agent-tag"} <= gone_later
    assert any(
        item.type.endswith(":Network") and item.name in gone_later for item in declared.resources.values()
    )


def test_the_launcher_is_root_and_nothing_else_is_but_the_table(declared: Program) -> None:
    users = {part: declared.container(part).inputs.get("user", "") for part in PARTS}
    assert users == {
        "gateway-0": "",
        "gateway-1": "",
        "launcher": "0:0",
        "proxy": "",
        "watch": "",
        "dynamodb": "0:0",
    }


def test_each_part_gets_the_secrets_that_it_needs_and_no_others(declared: Program) -> None:
    gateway, launcher, proxy = (declared.files(part) for part in ("gateway-0", "launcher", "proxy"))
    assert gateway == declared.files("gateway-1")
    assert gateway == {
        "VF_JWT_SECRET": MADE["jwt"],
        "VF_SANDBOX_SECRET": MADE["sandbox"],
        "VF_CREDENTIAL_KEY": MADE["credential"],
        "VF_LAUNCHER_SECRET": MADE["launcher"],
        "VF_PROXY_SECRET": MADE["proxy"],
    }
    assert launcher == {"VF_LAUNCHER_SECRET": MADE["launcher"], "VF_SANDBOX_SECRET": MADE["sandbox"]}
    assert proxy == {"VF_PROXY_SECRET": MADE["proxy"]}


def test_no_container_is_told_a_secret(declared: Program) -> None:
    """What a container is told, `docker inspect` shows."""
    pem, keys = "".join(certificate_and_key()).strip(), {"modelApiKey": "sk-1-key", "jwtSecret": "o" * 40}
    aws = {"awsAccessKeyId": "AKIA-own", "awsSecretAccessKey": "aws-own-secret"}
    more = run(
        program,
        {"agent": "claude", "dynamodb": "aws"},
        {**keys, **aws, "tlsCertificate": pem},
    )
    for stack in (declared, more):
        for container in stack.of_type(":Container"):
            told = set(strings(container.inputs))
            for secret in (*MADE.values(), *keys.values(), "aws-own-secret", pem):
                assert not [text for text in told if secret in text], container.name
            assert not container.secret_inputs
    for files in more.of_type(":SecretFiles"):
        assert files.secret_inputs == {"files"}


def test_files_belong_to_the_user_that_reads_them(declared: Program) -> None:
    owners = {
        item.name.removeprefix(f"{STACK_ID}-"): item.inputs["owner"]
        for item in declared.of_type(":SecretFiles")
    }
    assert owners == {"gateway-secrets": 10002, "launcher-secrets": 0, "proxy-secrets": 1000}
    assert "--uid 10002" in (ROOT / "gateway/Dockerfile").read_text()
    assert "USER 1000:1000" in (ROOT / "infra/proxy/Dockerfile").read_text()


def test_keys_of_an_account_are_a_file_that_botocore_reads() -> None:
    secrets = {"awsAccessKeyId": "AKIA-own", "awsSecretAccessKey": "aws-own-secret"}
    files = run(program, {"dynamodb": "aws"}, secrets).files("gateway-0")
    lines = files["AWS_SHARED_CREDENTIALS"].splitlines()
    assert lines == [
        "[default]",
        "aws_access_key_id = AKIA-own",
        "aws_secret_access_key = aws-own-secret",
    ]


def test_the_model_s_key_stays_with_the_gateways() -> None:
    stack = run(program, {"agent": "claude"}, {"modelApiKey": "sk-not-real"})
    assert stack.files("gateway-1")["VF_MODEL_API_KEY"] == "sk-not-real"
    assert "sk-not-real" not in str(stack.files("launcher"))


def test_a_signing_secret_of_the_stack_s_own_is_used() -> None:
    stack = run(program, {}, {"jwtSecret": "o" * 40})
    assert stack.files("gateway-0")["VF_JWT_SECRET"] == "o" * 40
    assert stack.outputs["jwtSecret"] == "o" * 40
    assert "jwtSecret" in stack.secret_outputs


def test_generated_secrets_are_secret_outputs(declared: Program) -> None:
    [secrets] = declared.of_type(":Secrets")
    assert set(secrets.secret_outputs) == set(MADE)


KEYS = [
    ("sandboxMemoryMb", "512", "launcher", "VF_SANDBOX_MEMORY_MB"),
    ("sandboxCpus", "1.5", "launcher", "VF_SANDBOX_CPUS"),
    ("sandboxPids", "99", "launcher", "VF_SANDBOX_PIDS"),
    ("sandboxDiskMb", "94", "launcher", "VF_SANDBOX_DISK_MB"),
    ("sandboxInodes", "95", "launcher", "VF_SANDBOX_INODES"),
    ("diskReservePercent", "19", "launcher", "VF_DISK_RESERVE_PERCENT"),
    ("storedMb", "96", "gateway-0", "VF_STORED_MB"),
    ("diskReservePercent", "19", "gateway-0", "VF_DISK_RESERVE_PERCENT"),
    ("sandboxRuntime", "runsc", "launcher", "VF_SANDBOX_RUNTIME"),
    ("model", "some-model", "launcher", "VF_MODEL"),
    ("agent", "my-agent --flag", "launcher", "VF_AGENT"),
    ("agent", "my-agent --flag", "gateway-0", "VF_AGENT"),
    ("modelApiUrl", "https://api.example", "gateway-0", "VF_MODEL_API_URL"),
    ("modelApiAllowHeaders", "x-of-ours", "gateway-0", "VF_MODEL_API_ALLOW_HEADERS"),
    ("modelApiAllowBetas", "flag", "gateway-0", "VF_MODEL_API_ALLOW_BETAS"),
    ("modelApiAllowFields", "field_of_next_year", "gateway-0", "VF_MODEL_API_ALLOW_FIELDS"),
    ("modelApiAllowTools", "web_search", "gateway-0", "VF_MODEL_API_ALLOW_TOOLS"),
    ("modelApiAllowContent", "url", "gateway-0", "VF_MODEL_API_ALLOW_CONTENT"),
    ("sandboxInternet", "true", "gateway-0", "VF_MODEL_NETWORK_TOOLS"),
    ("queueLimit", "14", "gateway-0", "VF_QUEUE_LIMIT"),
    ("stopSeconds", "30", "gateway-0", "VF_STOP_SECONDS"),
    ("drainSeconds", "18", "gateway-0", "VF_DRAIN_SECONDS"),
    ("startSeconds", "31", "gateway-0", "VF_START_SECONDS"),
    ("snapshotMb", "32", "gateway-0", "VF_SNAPSHOT_MB"),
    ("snapshotSeconds", "33", "gateway-0", "VF_SNAPSHOT_SECONDS"),
    ("connections", "300", "gateway-0", "VF_CONNECTIONS"),
    ("userConnections", "2", "gateway-0", "VF_USER_CONNECTIONS"),
    ("brokerConnections", "135", "gateway-0", "VF_BROKER_CONNECTIONS"),
    ("sandboxConnections", "37", "gateway-0", "VF_SANDBOX_CONNECTIONS"),
    ("sandboxCalls", "36", "gateway-0", "VF_SANDBOX_CALLS"),
    ("callMb", "38", "gateway-0", "VF_CALL_MB"),
    ("fileMb", "44", "gateway-0", "VF_FILE_MB"),
    ("headSeconds", "39", "gateway-0", "VF_HEAD_SECONDS"),
    ("bodySeconds", "40", "gateway-0", "VF_BODY_SECONDS"),
    ("bodyKbPerSecond", "41", "gateway-0", "VF_BODY_KB_PER_SECOND"),
    ("promptsPerMinute", "3", "gateway-0", "VF_PROMPTS_PER_MINUTE"),
    ("promptsPerDay", "4", "gateway-0", "VF_PROMPTS_PER_DAY"),
    ("sessionsPerHour", "5", "gateway-0", "VF_SESSIONS_PER_HOUR"),
    ("sessionsPerUser", "6", "gateway-0", "VF_SESSIONS_PER_USER"),
    ("storedMbPerUser", "7", "gateway-0", "VF_STORED_MB_PER_USER"),
    ("ticketsPerMinute", "8", "gateway-0", "VF_TICKETS_PER_MINUTE"),
    ("failedSignIns", "9", "gateway-0", "VF_FAILED_SIGN_INS"),
    ("sandboxesPerUser", "10", "gateway-0", "VF_SANDBOXES_PER_USER"),
    ("sandboxes", "11", "gateway-0", "VF_SANDBOXES"),
    ("modelCallsPerMinute", "12", "gateway-0", "VF_MODEL_CALLS_PER_MINUTE"),
    ("modelMbPerDay", "13", "gateway-0", "VF_MODEL_MB_PER_DAY"),
    ("budgetRunUsd", "0.25", "gateway-0", "VF_BUDGET_RUN_USD"),
    ("budgetSessionUsd", "7.5", "gateway-0", "VF_BUDGET_SESSION_USD"),
    ("budgetUserDayUsd", "70.5", "gateway-0", "VF_BUDGET_USER_DAY_USD"),
    ("budgetStackDayUsd", "700.5", "gateway-0", "VF_BUDGET_STACK_DAY_USD"),
    ("budgetSoftPercent", "55", "gateway-0", "VF_BUDGET_SOFT_PERCENT"),
    ("modelPrices", "my-model=3/15, b=1/2/0.5", "gateway-0", "VF_MODEL_PRICES"),
    ("unknownModels", "refuse", "gateway-0", "VF_UNKNOWN_MODELS"),
    ("idleMinutes", "16", "gateway-0", "VF_IDLE_MINUTES"),
    ("backgroundMinutes", "0", "gateway-0", "VF_BACKGROUND_MINUTES"),
    ("streamFramesPerSecond", "2000", "gateway-0", "VF_STREAM_FRAMES_PER_SECOND"),
    ("streamMbPerSecond", "17", "gateway-0", "VF_STREAM_MB_PER_SECOND"),
    ("streamControlBurst", "98", "gateway-0", "VF_STREAM_CONTROL_BURST"),
    ("messagesPerSecond", "15", "gateway-0", "VF_MESSAGES_PER_SECOND"),
    ("messageTtlDays", "29", "gateway-0", "VF_MESSAGE_TTL_DAYS"),
    ("allowedOrigins", "https://a.example", "gateway-0", "VF_ALLOWED_ORIGINS"),
    ("jwtAudience", "team", "gateway-0", "VF_JWT_AUDIENCE"),
    ("logLevel", "DEBUG", "gateway-0", "VF_LOG_LEVEL"),
]
"""A key, a value of it that no other key here has, and the part and the variable that it must reach."""


@pytest.fixture(scope="module")
def keyed() -> Program:
    """What a stack with all of these keys declares."""
    values = {key: value for key, value, _, _ in KEYS}
    assert len(set(values.values())) == len(values)
    return run(program, values)


@pytest.mark.parametrize(("key", "value", "part", "variable"), KEYS)
def test_a_key_reaches_its_part(key: str, value: str, part: str, variable: str, keyed: Program) -> None:
    assert keyed.env(part)[variable] == value


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("gatewayMemoryMb", "gateway-1"),
        ("proxyMemoryMb", "proxy"),
        ("launcherMemoryMb", "launcher"),
        ("tableMemoryMb", "dynamodb"),
    ],
)
def test_a_part_s_memory_is_its_key_s(key: str, part: str) -> None:
    stack = run(program, {key: "777"})
    having = {name for name in PARTS if stack.container(name).inputs["memory"] == 777}
    assert having == ({"gateway-0", "gateway-1"} if part == "gateway-1" else {part})


def test_files_and_processes_are_their_keys() -> None:
    stack = run(program, {"partFiles": "9000", "partPids": "300"})
    for part in PARTS:
        assert {"name": "nofile", "soft": 9000, "hard": 9000} in stack.container(part).inputs["ulimits"]
    assert stack.of_type(":ProcessLimits")[0].inputs["pids"] == 300


def test_replicas_follow_the_configuration() -> None:
    stack = run(program, {"gatewayReplicas": "5"})
    assert len([item for item in stack.of_type(":Container") if "-gateway-" in item.name]) == 5


def test_the_proxy_has_room_for_the_old_and_the_new_of_the_most_gateways() -> None:
    text = (ROOT / "infra" / "proxy" / "haproxy.cfg").read_text(encoding="utf-8")
    [slots] = re.findall(r"^ +server-template gateway (\S+) ", text, re.MULTILINE)
    [replicas] = [item.metadata for item in fields(Settings) if item.name == "gateway_replicas"]
    assert int(slots) >= 2 * replicas["most"]


OTHER = {
    "agent": "claude",
    "model": "another",
    "modelApiUrl": "https://model.example",
    "allowedOrigins": "https://page.example",
    "jwtAudience": "another",
    "logLevel": "DEBUG",
    "sandboxCpus": "1",
    "sandboxMemoryMb": "2049",
    "startSeconds": "61",
    "egress": "list",
    "egressAllow": "example.com",
    "egressLearn": "true",
    "egressSessionAllow": "false",
    "sandboxRuntime": "runsc",
    "sandboxNetworks": "10.9.0.0/16",
    "dynamodbTable": "another",
    "region": "eu-central-1",
    "dynamodbImage": "another:1",
    "dockerSocket": "/run/another.sock",
    "bindAddress": "10.1.2.3",
    "baseImage": "another:1",
    "logDays": "60",
}
"""Another value of each key that is no number, no secret, and does not make another stack."""

PROXY_KEYS = {
    *("bindAddress", "port", "connections", "addressConnections", "proxyMemoryMb", "partFiles", "baseImage"),
}
"""What the proxy itself is or is built of, besides its certificate; docs/deploy.md names them."""


def test_only_what_is_about_the_proxy_changes_the_proxy(tmp_path: Path, declared: Program) -> None:
    (tmp_path / "ca.pem").write_text(certificate_and_key()[0])
    config = yaml.safe_load((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))["config"]
    others = {key: str(item["default"] + 1) for key, item in config.items() if item["type"] == "integer"}
    others |= {**OTHER, "caBundle": str(tmp_path / "ca.pem")}
    kept = declared.container("proxy").inputs
    # All that leave it alone at once; those that do not one by one.
    alone = {key: value for key, value in others.items() if key not in PROXY_KEYS}
    assert len(alone) > 30
    assert run(program, alone).container("proxy").inputs == kept
    for key in PROXY_KEYS:
        assert run(program, {key: others[key]}).container("proxy").inputs != kept, key


@pytest.mark.parametrize(
    ("bound", "asked"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.1.2.3", "10.1.2.3")],
)
def test_the_watch_asks_the_published_port_from_outside(bound: str, asked: str) -> None:
    watch = run(program, {"bindAddress": bound, "port": "9090"}).container("watch").inputs
    assert watch["networkMode"] == "host"
    assert "networksAdvanced" not in watch
    assert watch["healthcheck"]["tests"] == ["CMD", "answers", asked, "9090"]
    assert watch.get("envs", []) == []


def test_the_proxy_and_the_gateways_are_told_how_many_may_connect() -> None:
    stack = run(program, {"connections": "400", "addressConnections": "50"})
    assert stack.env("proxy")["VF_CONNECTIONS"] == stack.env("gateway-0")["VF_CONNECTIONS"] == "400"
    assert stack.env("proxy")["VF_ADDRESS_CONNECTIONS"] == "50"


def test_the_certificate_reaches_the_proxy_as_a_secret() -> None:
    pem = "".join(certificate_and_key()).strip()
    stack = run(program, {}, {"tlsCertificate": pem})
    assert stack.files("proxy")["VF_TLS_CERTIFICATE"] == pem
    assert stack.outputs["url"] == "https://localhost:8080"


def test_the_table_s_data_lies_on_the_stack_s_volume(declared: Program) -> None:
    [volume] = declared.container("dynamodb").inputs["volumes"]
    assert volume == {"volumeName": f"{STACK_ID}-table-0abcdef", "containerPath": "/data"}
    assert "-inMemory" not in declared.container("dynamodb").inputs["command"]


def test_a_proxy_reaches_the_broker_and_builds_and_no_sandbox() -> None:
    stack = run(program, {"httpProxy": "http://proxy.example:3128", "noProxy": ".corp"})
    env = stack.env("gateway-0")
    assert (env["VF_HTTP_PROXY"], env["VF_NO_PROXY"]) == ("http://proxy.example:3128", ".corp")
    for image in stack.of_type(":Image"):
        args = image.inputs["build"]["args"]
        assert {args[name] for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY")} == {
            "http://proxy.example:3128"
        }
        assert (args["no_proxy"], args["NO_PROXY"]) == (".corp", ".corp")
    assert "proxy.example" not in str(stack.container("launcher").inputs)
    assert "proxy" not in str(run(program, {}).of_type(":Image")[0].inputs["build"]["args"]).lower()


def test_a_part_s_plain_settings_are_told_by_name_and_no_secret_with_them() -> None:
    pem, key = "".join(certificate_and_key()).strip(), "sk-1-never-told"
    stack = run(program, {"queueLimit": "7", "agent": "claude"}, {"tlsCertificate": pem, "modelApiKey": key})
    told = {
        part: stack.named(f"{STACK_ID}-{part}", f":docker:{part.capitalize()}").inputs["settings"]
        for part in ("gateway", "launcher", "proxy")
    }
    assert told["gateway"]["VF_QUEUE_LIMIT"] == "7"
    assert told["launcher"]["VF_AGENT"] == "claude"
    assert told["proxy"]["VF_CONNECTIONS"] == "2000"
    for part, settings in told.items():
        env = stack.env("gateway-0" if part == "gateway" else part)
        assert settings.items() <= env.items()
        assert not {value for value in settings.values() if value in (*MADE.values(), pem, key)}
