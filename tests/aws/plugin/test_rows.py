"""The stand-in for pulumi-aws: a row for each type, what each makes in ministack, and what it refuses."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from infra.config import ROOT
from infra.plugin.resource import PluginError
from tests.aws.cloud.inventory import Inventory
from tests.aws.made import CONTEXT, make, whole_ministack
from tests.aws.plugin.row import same
from tests.aws.plugin.types import AWS, ROWS, UNTOLD
from tests.infra.aws_programs import EXISTING, TLS, aws_program
from tests.infra.plugin_client import Plugin, started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.plugin.properties import Properties
    from tests.aws.made import Made

PROGRAM = str(ROOT / "tests" / "aws" / "plugin" / "pulumi-resource-aws")

VPC = "aws:ec2/vpc:Vpc"


def test_each_type_that_the_program_makes_has_a_row_and_no_other() -> None:
    programs = [aws_program(), aws_program("prod", **TLS), aws_program(**EXISTING)]
    declared = {item.type for one in programs for item in one.resources.values()}
    assert {kind for kind in declared if kind.startswith("aws:")} == ROWS.keys()


@pytest.fixture(scope="module")
def plugin() -> Iterator[Plugin]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VF_PYTHON", sys.executable)
        with started(ROOT, PROGRAM) as plugin:
            yield plugin


def test_a_type_without_a_row_is_refused_with_a_sentence(plugin: Plugin) -> None:
    with pytest.raises(Exception, match="does not know the type aws:sqs/queue:Queue; it has a row for each"):
        plugin.check("aws:sqs/queue:Queue", {})


def test_an_input_without_a_place_in_its_row_is_refused(plugin: Plugin) -> None:
    [failure] = plugin.check(VPC, {"cidrBlock": "10.0.0.0/16", "enableDnsHostname": True}).failures
    assert "did you mean enableDnsHostnames?" in failure.reason


def test_names_are_drawn_where_a_type_has_them_and_a_bucket_has_its_own(plugin: Plugin) -> None:
    assert plugin.checked("aws:ecs/cluster:Cluster", {"settings": []})["name"].startswith("thing-")
    bucket = plugin.checked("aws:s3/bucket:Bucket", {})
    assert bucket["bucket"].startswith("thing-")
    assert "name" not in bucket
    assert plugin.checked("aws:s3/bucket:Bucket", {}, bucket)["bucket"] == bucket["bucket"]


def test_what_replaces_a_resource_and_what_changes_it_where_it_is(plugin: Plugin) -> None:
    old = plugin.checked(VPC, {"cidrBlock": "10.0.0.0/16", "enableDnsSupport": True})
    assert list(plugin.diff(VPC, old, {**old, "cidrBlock": "10.1.0.0/16"}).replaces) == ["cidrBlock"]
    changed = plugin.diff(VPC, old, {**old, "enableDnsSupport": False})
    assert (list(changed.diffs), list(changed.replaces)) == (["enableDnsSupport"], [])


@pytest.mark.parametrize(
    ("given", "found", "is_same"),
    [
        ({"path": "/"}, {"path": "/", "port": "traffic-port"}, True),
        ({"path": "/"}, {"path": "/other"}, False),
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}', True),
        ('{"a": 1}', '{"a": 2}', False),
        ([], None, True),
        (["a", "b"], ["b", "a"], False),
        ([{"a": 1}], [{"a": 1}, {"a": 2}], False),
    ],
)
def test_what_a_service_tells_is_compared_with_what_it_was_told(
    given: Any, found: Any, is_same: bool
) -> None:
    assert same(given, found) is is_same
    assert same({"in": given}, {"in": found}) is is_same


def test_a_set_is_the_same_in_any_order() -> None:
    assert same(["a", "b"], ["b", "a"], as_set=True)
    assert not same(["a", "b"], ["a", "c"], as_set=True)


@pytest.fixture
def aws_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with whole_ministack(tmp_path, monkeypatch) as url:
        yield url


@pytest.fixture
def inventory(aws_endpoint: str) -> Iterator[Inventory]:
    inventory = Inventory()
    yield inventory
    inventory.close()


def with_all(inventory: Inventory) -> dict[str, str]:
    zone = inventory.client("route53").create_hosted_zone(Name="example.com", CallerReference="test")
    zone_id = zone["HostedZone"]["Id"].removeprefix("/hostedzone/")
    more = {"zones": "3", "nat": "zone", "interfaceEndpoints": "true"}
    return {"domain": "forge.example.com", "hostedZone": zone_id, **more}


def in_a_network_that_is_there(inventory: Inventory) -> dict[str, str]:
    ec2 = inventory.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    internet = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=internet, VpcId=vpc)
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{number}.0/24", AvailabilityZone=f"us-east-1{zone}")[
            "Subnet"
        ]["SubnetId"]
        for number, zone in enumerate("abab")
    ]
    return {
        "vpcId": vpc,
        "publicSubnets": ",".join(subnets[:2]),
        "privateSubnets": ",".join(subnets[2:]),
    }


@pytest.mark.parametrize("settings", [with_all, in_a_network_that_is_there])
def test_what_the_program_declares_is_made_told_as_it_was_given_and_taken_away(
    settings: Any, inventory: Inventory
) -> None:
    config = settings(inventory)
    before = inventory.there()
    made = make(**config)
    assert len(inventory.there() - before) > 30
    kept = {item.type: untold(item) - UNTOLD.get(item.type, frozenset()) for item in made}
    assert {kind: names for kind, names in kept.items() if names} == {}
    assert {item.type: other for item in made if (other := differing(item))} == {}
    assert [item.type for item in made if not item.is_there()] == []
    for item in made:
        item.change_tags()
    for item in reversed(made):
        item.delete()
    assert [item.type for item in made if item.is_there()] == []
    assert inventory.there() == before
    for item in made:
        item.delete()  # What is gone already is success.


def test_what_aws_refuses_and_ministack_does_not_is_refused(inventory: Inventory) -> None:
    made = {item.type: item for item in make()}
    with pytest.raises(PluginError, match="has activeServicesCount 1"):
        made["aws:ecs/cluster:Cluster"].delete()
    with pytest.raises(PluginError, match="some mapped public addresses"):
        made["aws:ec2/internetGateway:InternetGateway"].delete()
    ec2, balancer = inventory.client("ec2"), made["aws:lb/loadBalancer:LoadBalancer"]
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.8.0.0/24")["Subnet"]["SubnetId"]
    alone = {**balancer.inputs, "name": "another", "subnets": [subnet]}
    with pytest.raises(PluginError, match="has no internet gateway"):
        AWS.types[balancer.type].create(CONTEXT, alone)


def differing(item: Made) -> Properties:
    """What a service tells otherwise than it was told."""
    return {
        key: value for key, value in item.told.items() if key in item.inputs and value != item.inputs[key]
    }


def untold(item: Made) -> set[str]:
    return item.inputs.keys() - item.told.keys() - ROWS[item.type].silent
