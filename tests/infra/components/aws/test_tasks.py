"""What runs: images by digest, the gateways, what sandboxes are started from, scaling, and what watches them."""

from __future__ import annotations

import json
import re

import pytest

from gateway.launcher.settings import LauncherSettings
from gateway.launcher.spec import CAPABILITIES, environment
from infra.components.aws.sandbox import DROPPED
from tests.infra.aws_programs import aws_program, definition, env_of
from tests.infra.mocked import IMAGE_ID, STACK_ID, Declared, Program
from tests.infra.mocked_aws import PASSWORD

DEFAULT_CAPABILITIES = {*DROPPED, "KILL", "SETGID", "SETPCAP", "SETUID"}
"""The fourteen that Docker gives, and Fargate with it (KernelCapabilities in ECS's API reference)."""


def service(stack: Program) -> Declared:
    [found] = [item for item in stack.of_type(":Service") if item.type.startswith("aws:ecs")]
    return found


def test_images_are_pushed_under_a_tag_of_their_content_and_used_by_digest() -> None:
    stack = aws_program()
    for part, role in (("gateway", "gateway"), ("sandbox", "sandbox")):
        image = stack.named(f"{STACK_ID}-{part}", ":Image")
        repository = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{STACK_ID}-{part}-0abcdef"
        assert re.fullmatch(rf"{re.escape(repository)}:[0-9a-f]{{12}}", image.inputs["imageName"])
        assert image.inputs["skipPush"] is False
        assert image.inputs["build"]["platform"] == "linux/amd64"
        assert image.inputs["registry"] == {"server": repository, "username": "AWS", "password": PASSWORD}
        assert "registry" in image.secret_inputs
        assert definition(stack, role)[1]["image"] == f"{repository}@{IMAGE_ID}"
    for repository_made in stack.of_type(":Repository"):
        assert repository_made.inputs["imageScanningConfiguration"] == {"scanOnPush": True}
    for policy in stack.of_type(":LifecyclePolicy"):
        [rule] = json.loads(policy.inputs["policy"])["rules"]
        assert rule["selection"]["countNumber"] == 30


def test_the_gateways_roll_and_go_back_where_they_do_not_become_healthy() -> None:
    inputs = service(aws_program()).inputs
    assert inputs["launchType"] == "FARGATE"
    assert inputs["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
    assert (inputs["deploymentMinimumHealthyPercent"], inputs["deploymentMaximumPercent"]) == (100, 200)
    assert inputs["availabilityZoneRebalancing"] == "ENABLED"
    assert inputs["waitForSteadyState"] is True
    assert inputs["enableExecuteCommand"] is False
    # ECS's role for a task's protection, and IAM's conditions, go by the tags of the task.
    assert inputs["propagateTags"] == "SERVICE"
    assert inputs["desiredCount"] == 2
    # An update outlasts the protection of a gateway that records runs, and what comes before and after it.
    protected = float(env_of(definition(aws_program(), "gateway")[1])["VF_PROTECT_MINUTES"])
    assert 0 < protected <= 15
    assert float(service(aws_program()).update_timeout.removesuffix("m")) >= protected + 20
    assert service(aws_program()).ignore_changes == ("desiredCount",)
    [load_balancer] = inputs["loadBalancers"]
    assert (load_balancer["containerName"], load_balancer["containerPort"]) == ("gateway", 8080)


def test_a_gateway_is_told_where_everything_is() -> None:
    busy = "Mon-Fri 08:00-18:00 Europe/Berlin 40"
    stack = aws_program(
        sandboxSpot="true", poolSize="20", poolMaxMinutes="30", poolSchedule=busy, connections="500"
    )
    env = env_of(definition(stack, "gateway")[1])
    ecs = "arn:aws:ecs:us-east-1:123456789012"
    assert env["VF_DRIVER"] == "ecs"
    assert env["VF_ECS_CLUSTER"] == f"{ecs}:cluster/{STACK_ID}-cluster-0abcdef"
    assert env["VF_ECS_TASK_DEFINITION"] == f"{ecs}:task-definition/{STACK_ID}-sandbox:1"
    assert len(env["VF_ECS_SUBNETS"].split(",")) == 2
    assert re.fullmatch(r"subnet-\w+,subnet-\w+", env["VF_ECS_SUBNETS"])
    assert re.fullmatch(r"sg-\w+", env["VF_ECS_SECURITY_GROUPS"])
    assert (env["VF_ECS_SPOT"], env["VF_ECS_PUBLIC_IP"]) == ("true", "false")
    pool = (env["VF_POOL_SIZE"], env["VF_POOL_MAX_MINUTES"], env["VF_POOL_SCHEDULE"])
    assert pool == ("20", "30", busy)
    assert env["VF_TABLE"] == f"{STACK_ID}-table-0abcdef"
    assert env["VF_BLOBS"] == f"s3://{STACK_ID}-blobs-0abcdef"
    assert (env["VF_STACK"], env["VF_REGION"]) == (STACK_ID, "us-east-1")
    assert (env["VF_PORT"], env["VF_BROKER_PORT"]) == ("8080", "8081")
    # All connections come from the load balancer's few addresses; who is behind them it says.
    assert (env["VF_PROXY_ONLY"], env["VF_ADDRESS_CONNECTIONS"]) == ("true", "500")
    assert env["VF_METRICS"] == "emf"
    assert (env["VF_ENCRYPT_WITH"], env["VF_KMS_ARN"]) == (
        "kms",
        f"arn:aws:kms:us-east-1:123456789012:key/{STACK_ID}-key-0abcdef",
    )


def test_where_kms_does_not_encrypt_what_it_has_encrypted_is_read() -> None:
    env = env_of(definition(aws_program(encryptWith="secret"), "gateway")[1])
    assert env["VF_ENCRYPT_WITH"] == "secret"
    assert env["VF_KMS_ARN"].startswith("arn:aws:kms:")


def test_a_sandbox_with_the_internet_has_an_address_where_there_is_no_nat() -> None:
    env = env_of(definition(aws_program(nat="none", sandboxInternet="true"), "gateway")[1])
    assert env["VF_ECS_PUBLIC_IP"] == "true"


def test_no_secret_is_among_a_containers_variables() -> None:
    for role in ("gateway", "sandbox"):
        names = env_of(definition(aws_program(), role)[1]).keys()
        assert not [name for name in names if re.search("SECRET|_KEY|TOKEN$|PASSWORD", name)]


def test_a_gateways_container_has_as_little_as_it_needs() -> None:
    task, container = definition(aws_program(gatewayCpus="1", gatewayMemoryMb="2048"), "gateway")
    assert (task.inputs["cpu"], task.inputs["memory"]) == ("1024", "2048")
    assert (task.inputs["networkMode"], task.inputs["requiresCompatibilities"]) == ("awsvpc", ["FARGATE"])
    assert container["readonlyRootFilesystem"] is True
    assert container["linuxParameters"] == {"capabilities": {"drop": ["ALL"]}}
    assert container["healthCheck"]["command"] == ["CMD", "python", "-m", "gateway.healthcheck"]
    drain = int(env_of(container)["VF_DRAIN_SECONDS"])
    assert drain < container["stopTimeout"] <= 120
    assert container["logConfiguration"]["options"]["mode"] == "non-blocking"
    assert {item["containerPort"] for item in container["portMappings"]} == {8080, 8081}


def test_a_sandbox_is_told_what_the_launcher_tells_it_but_for_its_session() -> None:
    task, container = definition(aws_program(sandboxCpus="2", sandboxMemoryMb="4096"), "sandbox")
    assert container["name"] == "sandbox"
    assert (task.inputs["cpu"], task.inputs["memory"]) == ("2048", "4096")
    assert task.inputs["family"] == f"{STACK_ID}-sandbox"
    settings = LauncherSettings(
        stack=STACK_ID,
        launcher_secret="s" * 32,
        sandbox_secret="s" * 32,
        image="image",
        networks="10.213.0.0/16",
        broker_url="http://gateway.test.internal:8081",
        git_hosts="github.com,gitlab.com,bitbucket.org,codeberg.org",
    )
    told = environment(settings, "session", "")
    by_session = {"VF_SESSION", "VF_SANDBOX_TOKEN", "VF_START", "VF_LOST_REASON"}
    assert env_of(container) == {name: value for name, value in told.items() if name not in by_session}
    assert container["user"] == "0:0"
    dropped = set(container["linuxParameters"]["capabilities"]["drop"])
    assert len(DEFAULT_CAPABILITIES) == 14
    assert DEFAULT_CAPABILITIES - dropped == set(CAPABILITIES)
    assert "secrets" not in container
    assert [item["containerPort"] for item in container["portMappings"]] == [8765]


@pytest.mark.parametrize(("stop", "timeout"), [("10", 30), ("100", 120)])
def test_a_sandbox_gets_the_time_to_stop_that_its_runs_do_and_some_more(stop: str, timeout: int) -> None:
    assert definition(aws_program(stopSeconds=stop), "sandbox")[1]["stopTimeout"] == timeout


def test_a_gateway_outlives_its_drain_and_the_load_balancers_idle_connections() -> None:
    container = definition(aws_program(drainSeconds="110", albIdleSeconds="90"), "gateway")[1]
    assert (env_of(container)["VF_DRAIN_SECONDS"], container["stopTimeout"]) == ("110", 120)
    assert int(env_of(container)["VF_KEEPALIVE_SECONDS"]) > 90


def test_a_sandbox_on_fargate_has_a_size_and_a_time_to_start_without_being_told() -> None:
    stack = aws_program()
    task = definition(stack, "sandbox")[0]
    assert (task.inputs["cpu"], task.inputs["memory"]) == ("2048", "4096")
    assert env_of(definition(stack, "gateway")[1])["VF_START_SECONDS"] == "180"


def test_sandboxes_find_the_broker_by_a_name_that_moves_with_the_gateways() -> None:
    stack = aws_program("my_team")
    [namespace] = stack.of_type(":PrivateDnsNamespace")
    assert namespace.inputs["name"] == "my-team.internal"
    [name] = [item for item in stack.of_type(":Service") if "servicediscovery" in item.type]
    assert name.inputs["name"] == "gateway"
    assert name.inputs["dnsConfig"]["dnsRecords"] == [{"type": "A", "ttl": 10}]
    assert (
        service(stack).inputs["serviceRegistries"]["registryArn"].endswith(f"service/{name.inputs['name']}")
    )
    broker = env_of(definition(stack, "sandbox")[1])["ANTHROPIC_BASE_URL"]
    assert broker == "http://gateway.my-team.internal:8081"


def test_gateways_are_as_many_as_connections_and_cpu_ask_for() -> None:
    stack = aws_program(gatewayReplicas="3", gatewayReplicasMost="9", connections="1000")
    [target] = stack.of_type(":Target")
    assert (target.inputs["minCapacity"], target.inputs["maxCapacity"]) == (3, 9)
    assert target.inputs["resourceId"] == f"service/{STACK_ID}-cluster-0abcdef/{STACK_ID}-gateway-0abcdef"
    policies = {
        item.name.removeprefix(f"{STACK_ID}-"): item.inputs["targetTrackingScalingPolicyConfiguration"]
        for item in stack.of_type(":Policy")
    }
    assert policies["connections"]["targetValue"] == 500
    metric = policies["connections"]["customizedMetricSpecification"]
    assert (metric["namespace"], metric["metricName"]) == ("VaporForge", "OpenConnections")
    assert metric["dimensions"] == [{"name": "Stack", "value": STACK_ID}]
    assert policies["cpu"]["targetValue"] == 60


def test_alarms_go_to_the_topic_and_what_has_no_points_is_well() -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:oncall"
    stack = aws_program(alarmTopic=topic)
    alarms = {item.name.removeprefix(f"{STACK_ID}-"): item.inputs for item in stack.of_type(":MetricAlarm")}
    assert alarms.keys() == {
        "errors",
        "unreachable",
        "unhealthy",
        "reads-throttled",
        "writes-throttled",
        "lost",
    }
    for alarm in alarms.values():
        assert alarm["alarmActions"] == alarm["okActions"] == [topic]
        assert alarm["treatMissingData"] == "notBreaching"
    assert alarms["lost"]["dimensions"] == {"Stack": STACK_ID}


def test_without_a_topic_alarms_are_there_to_be_looked_at() -> None:
    alarms = aws_program().of_type(":MetricAlarm")
    assert [item.name for item in alarms if item.name.endswith("pool-empty")] == []
    assert {tuple(item.inputs.get("alarmActions", ())) for item in alarms} == {()}


@pytest.mark.parametrize("config", [{"poolSize": "20"}, {"poolSchedule": "Mon 08:00-18:00 UTC 5"}])
def test_an_empty_pool_is_told_where_there_is_one(config: dict[str, str]) -> None:
    [alarm] = [item for item in aws_program(**config).of_type(":MetricAlarm") if "pool" in item.name]
    assert (alarm.inputs["metricName"], alarm.inputs["threshold"]) == ("PoolReady", 1)


def test_the_dashboard_shows_metrics_of_this_stack() -> None:
    [dashboard] = aws_program().of_type(":Dashboard")
    widgets = json.loads(dashboard.inputs["dashboardBody"])["widgets"]
    assert len(widgets) == 6
    for widget in widgets:
        assert widget["properties"]["region"] == "us-east-1"
        for metric in widget["properties"]["metrics"]:
            assert any(STACK_ID in str(part) for part in metric)
