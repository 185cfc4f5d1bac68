"""The life of a stack of the aws target: Pulumi's engine, a row a resource type, ministack as AWS; no image is built.

Each test begins with an update, for others were at the same stack; the update changes nothing where it is the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from pulumi.automation import CommandError

from tests.aws.cloud.inventory import Inventory, kinds
from tests.aws.deployed import AwsStack, Done
from tests.aws.made import whole_ministack

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

DATA = {"table": 1, "bucket": 1, "key": 1, "secret": 1, "log group": 2}

FRONT = {
    "vpc": 1,
    "subnet": 2,
    "security group": 2,
    "route table": 2,
    "internet gateway": 1,
    "load balancer": 1,
}
"""A load balancer, and what it cannot be without; groups and tables are each one of ours and the network's own."""

SECRETS = "urn:pulumi:test::vaporforge::vaporforge-stack:index:Secrets::vaporforge-test-secrets"


@dataclass(frozen=True, slots=True)
class Deployed:
    """A stack that came up. `before`: what there was. `first`: what its first update did."""

    stack: AwsStack
    before: set[str]
    first: Done


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inventory]:
    with (
        pytest.MonkeyPatch.context() as patch,
        whole_ministack(tmp_path_factory.mktemp("ministack"), patch),
    ):
        inventory = Inventory()
        yield inventory
        inventory.close()


@pytest.fixture(scope="module")
def deployed(inventory: Inventory, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    stack = AwsStack("test", tmp_path_factory.mktemp("stack"))
    return Deployed(stack, inventory.there(), stack.up())


def write(inventory: Inventory, outputs: dict[str, Any]) -> None:
    """Something that a stack must not lose."""
    item = {"pk": {"S": "SESSION#1"}, "sk": {"S": "META"}, "said": {"S": "hello"}}
    inventory.client("dynamodb").put_item(TableName=outputs["table"], Item=item)
    inventory.client("s3").put_object(Bucket=outputs["bucket"], Key="sessions/1", Body=b"files")


def assert_written(inventory: Inventory, outputs: dict[str, Any]) -> None:
    """That it is there."""
    key = {"pk": {"S": "SESSION#1"}, "sk": {"S": "META"}}
    found = inventory.client("dynamodb").get_item(TableName=outputs["table"], Key=key)
    assert found["Item"]["said"] == {"S": "hello"}
    kept = inventory.client("s3").get_object(Bucket=outputs["bucket"], Key="sessions/1")
    assert kept["Body"].read() == b"files"


def test_a_stack_comes_up_once_and_drift_is_put_right(deployed: Deployed, inventory: Inventory) -> None:
    stack, made = deployed.stack, deployed.first
    assert made.outputs["url"].startswith("http://vaporforge-test-alb-")
    assert len(made.of("create")) > 80
    secret = made.outputs["jwtSecret"]
    assert len(secret) == 64
    assert secret not in stack.state()
    there = inventory.there()
    assert f"table {made.outputs['table']}" in there
    assert f"bucket {made.outputs['bucket']}" in there

    assert stack.up().changes == []
    assert stack.refresh().changes == []

    # What somebody changed by hand a refresh sees, and the next update puts right.
    balancing = inventory.client("elbv2")
    [balancer] = balancing.describe_load_balancers()["LoadBalancers"]
    arn = balancer["LoadBalancerArn"]
    idle = [{"Key": "idle_timeout.timeout_seconds", "Value": "10"}]
    balancing.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=idle)
    assert stack.refresh().changes == ["update 1"]
    assert stack.up().changes == ["update aws:lb/loadBalancer:LoadBalancer vaporforge-test-alb"]
    told = balancing.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    assert {"Key": "idle_timeout.timeout_seconds", "Value": "300"} in told


def test_changed_settings_change_what_they_are_about_and_leave_the_data(
    deployed: Deployed, inventory: Inventory
) -> None:
    stack = deployed.stack
    before = stack.up().outputs
    write(inventory, before)

    changed = stack.up(logDays="60", gatewayReplicasMost="8", albIdleSeconds="400", sandboxMemoryMb="8192")
    assert changed.of("update") == [
        "aws:appautoscaling/target:Target vaporforge-test-gateways",
        "aws:cloudwatch/logGroup:LogGroup vaporforge-test-gateway",
        "aws:cloudwatch/logGroup:LogGroup vaporforge-test-sandbox",
        "aws:ecs/service:Service vaporforge-test-gateway",
        "aws:lb/loadBalancer:LoadBalancer vaporforge-test-alb",
    ]
    definitions = [
        "aws:ecs/taskDefinition:TaskDefinition vaporforge-test-gateway",
        "aws:ecs/taskDefinition:TaskDefinition vaporforge-test-sandbox",
    ]
    assert changed.of("replace") == definitions
    assert {item.partition(" ")[0] for item in changed.changes} <= {
        *("update", "replace", "create-replacement", "delete-replaced"),
    }
    assert changed.outputs["jwtSecret"] == before["jwtSecret"]
    assert_written(inventory, before)

    # Secrets that are drawn anew are another version of the secret, which gateways are told by name.
    rotated = stack.up(replace=[SECRETS])
    assert rotated.of("replace") == [
        *definitions,
        "aws:secretsmanager/secretVersion:SecretVersion vaporforge-test-gateway",
        "vaporforge-stack:index:Secrets vaporforge-test-secrets",
    ]
    assert "aws:ecs/service:Service vaporforge-test-gateway" in rotated.of("update")
    assert rotated.outputs["jwtSecret"] != before["jwtSecret"]
    assert_written(inventory, before)


def test_a_stack_that_is_stopped_ends_its_tasks_keeps_its_data_and_goes_on(
    deployed: Deployed, inventory: Inventory
) -> None:
    stack = deployed.stack
    up = stack.up().outputs
    write(inventory, up)
    ecs = inventory.client("ecs")
    [cluster] = ecs.list_clusters()["clusterArns"]
    asked = {"cluster": cluster, "taskDefinition": "vaporforge-test-sandbox", "count": 2}
    tasks = [task["taskArn"] for task in ecs.run_task(**asked)["tasks"]]

    down = stack.up(running="false")
    # The gateways first, which would start others; what tasks use goes when none is left.
    order = [
        "delete aws:ecs/service:Service vaporforge-test-gateway",
        "delete vaporforge-stack:index:SandboxTasks vaporforge-test-sandboxes",
        "delete aws:ecs/cluster:Cluster vaporforge-test-cluster",
    ]
    assert [item for item in down.changes if item in order] == order
    for task in ecs.describe_tasks(cluster=cluster, tasks=tasks)["tasks"]:
        assert (task["lastStatus"], task["stoppedReason"]) == ("STOPPED", "vaporforge: the stack is stopped")
    assert kinds(inventory.there() - deployed.before) == DATA
    assert down.outputs["url"] == ""
    assert_written(inventory, up)

    again = stack.up()
    for name in ("table", "bucket", "jwtSecret", "instance"):
        assert again.outputs[name] == up[name]
    assert again.outputs["url"].startswith("http://")
    assert_written(inventory, up)


def test_a_destroy_that_failed_goes_on_leaves_nothing_and_the_stack_comes_up_again(
    deployed: Deployed, inventory: Inventory
) -> None:
    stack = deployed.stack
    up = stack.up().outputs
    write(inventory, up)
    tables = inventory.client("dynamodb")
    tables.update_table(TableName=up["table"], DeletionProtectionEnabled=True)

    with pytest.raises(CommandError, match="protected against deletion"):
        stack.destroy()
    # Gone is what depends on the table; how far the rest had come differs.
    left = kinds(inventory.there() - deployed.before).keys()
    assert {"table", "key"} <= left
    assert not {"scaling", "scaling policy"} & left

    tables.update_table(TableName=up["table"], DeletionProtectionEnabled=False)
    stack.destroy()
    assert inventory.there() == deployed.before

    again = stack.up()
    assert len(again.of("create")) == len(deployed.first.of("create"))
    assert again.outputs["table"] != up["table"]
    assert again.outputs["jwtSecret"] != up["jwtSecret"]


def test_a_protected_stack_keeps_its_data_until_it_is_told_otherwise(
    inventory: Inventory, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = inventory.there()
    stack = AwsStack("prod", tmp_path_factory.mktemp("stack"))
    up = stack.up().outputs
    write(inventory, up)
    all_of_it = inventory.there()

    with pytest.raises(CommandError, match="it is protected"):
        stack.preview_destroy()
    assert inventory.there() == all_of_it

    stack.destroy(exclude_protected=True)
    left = inventory.there() - before
    assert kinds(left) == DATA | FRONT
    assert_written(inventory, up)

    # It goes on where it was; and what is protected no more goes.
    again = stack.up(protect="false")
    assert again.of("replace") == []
    for name in ("table", "bucket", "jwtSecret", "instance"):
        assert again.outputs[name] == up[name]
    assert left < inventory.there()
    assert_written(inventory, up)
    stack.destroy()
    assert inventory.there() == before
