"""A real `up` of the aws program: Pulumi's engine, a row a resource type, ministack as AWS; no image is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.aws.cloud.inventory import Inventory
from tests.aws.deployed import AwsStack
from tests.aws.made import whole_ministack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inventory]:
    with whole_ministack(tmp_path, monkeypatch):
        inventory = Inventory()
        yield inventory
        inventory.close()


def test_a_stack_comes_up_once_and_drift_is_put_right(inventory: Inventory, tmp_path: Path) -> None:
    stack = AwsStack("test", tmp_path / "stack")

    made = stack.up()
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
