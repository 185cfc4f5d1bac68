"""The network, its ways out, and how the load balancer is reached."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pulumi.runtime.mocks import MockCallArgs

from infra.program import program
from tests.infra.aws_programs import EXISTING, TLS, aws_program, role_of
from tests.infra.mocked import STACK_ID, Mocks, Program, run


def subnets(stack: Program) -> dict[str, str]:
    return {role_of(item): item.inputs["cidrBlock"] for item in stack.of_type(":Subnet")}


def test_a_network_of_ones_own_has_public_and_private_subnets_in_each_zone() -> None:
    assert subnets(aws_program()) == {
        "public-0": "10.42.0.0/19",
        "public-1": "10.42.32.0/19",
        "private-0": "10.42.128.0/18",
        "private-1": "10.42.192.0/18",
    }
    three = aws_program(zones="3", vpcCidr="10.0.0.0/20")
    zones = [item.inputs["availabilityZone"] for item in three.of_type(":Subnet")]
    assert sorted(zones) == sorted(["us-east-1a", "us-east-1b", "us-east-1c"] * 2)


def test_zones_are_those_that_have_fargate() -> None:
    """By their ids, for the letters are an account's own (*ECS Developer Guide*, Supported Regions)."""
    asked: list[dict[str, Any]] = []

    class Asked(Mocks):
        def call(self, args: MockCallArgs) -> Any:
            if args.token.endswith(":getAvailabilityZones"):
                asked.append(args.args)
            return super().call(args)

    run(program, {"target": "aws"}, answers=Asked())
    [question] = asked
    assert question["excludeZoneIds"] == ["apne1-az3", "usw1-az2"]


@pytest.mark.parametrize(("nat", "gateways", "routes"), [("none", 0, 1), ("one", 1, 3), ("zone", 2, 3)])
def test_private_subnets_reach_the_internet_by_nat_as_is_said(nat: str, gateways: int, routes: int) -> None:
    stack = aws_program(nat=nat)
    assert len(stack.of_type(":NatGateway")) == len(stack.of_type(":Eip")) == gateways
    assert len(stack.of_type(":Route")) == routes
    used = {item.inputs.get("natGatewayId") for item in stack.of_type(":Route")} - {None}
    assert len(used) == gateways


def test_gateways_are_private_unless_that_has_no_way_out() -> None:
    for nat, public in (("one", False), ("none", True)):
        stack = aws_program(nat=nat)
        [service] = [item for item in stack.of_type(":Service") if item.type.startswith("aws:ecs")]
        network = service.inputs["networkConfiguration"]
        assert network["assignPublicIp"] is public
        names = {item.urn: item for item in stack.of_type(":Subnet")}
        kind = {role_of(names[urn]).split("-")[0] for urn in service.dependencies if urn in names}
        assert ("public" if public else "private") in kind


def test_the_load_balancer_comes_after_its_way_to_the_internet_and_goes_before_it() -> None:
    stack = aws_program()
    [balancer] = stack.of_type(":LoadBalancer")
    before = stack.before(balancer)
    assert {f"{STACK_ID}-internet", f"{STACK_ID}-public-out"} <= before
    # What is kept with a protected one: no NAT gateway, which costs.
    assert not {item.name for item in stack.of_type(":NatGateway")} & before


def test_an_existing_network_is_used_as_it_is() -> None:
    stack = aws_program(**EXISTING)
    made = (":Vpc", ":Subnet", ":NatGateway", ":InternetGateway", ":RouteTable", ":Route", ":VpcEndpoint")
    assert [item.name for kind in made for item in stack.of_type(kind) if item.type.startswith("aws:")] == []
    [balancer] = stack.of_type(":LoadBalancer")
    assert balancer.inputs["subnets"] == ["subnet-aaaaaaa1", "subnet-aaaaaaa2"]
    [service] = [item for item in stack.of_type(":Service") if item.type.startswith("aws:ecs")]
    assert service.inputs["networkConfiguration"]["subnets"] == ["subnet-bbbbbbb1", "subnet-bbbbbbb2"]
    assert {item.inputs["vpcId"] for item in stack.of_type(":SecurityGroup")} == {"vpc-12345678"}


@pytest.mark.parametrize(
    ("config", "services"),
    [
        ({}, {"ecr.api", "ecr.dkr", "logs"}),
        ({"sandboxInternet": "true"}, set()),
        (
            {"interfaceEndpoints": "true"},
            {"ecr.api", "ecr.dkr", "logs", "ecs", "secretsmanager", "kms", "monitoring"},
        ),
    ],
)
def test_interface_endpoints_cost_and_are_made_where_they_are_needed_or_wanted(
    config: dict[str, str], services: set[str]
) -> None:
    made = aws_program(**config).of_type(":VpcEndpoint")
    names = {
        item.inputs["serviceName"].removeprefix("com.amazonaws.us-east-1."): item.inputs["vpcEndpointType"]
        for item in made
    }
    assert names == {"s3": "Gateway", "dynamodb": "Gateway"} | dict.fromkeys(services, "Interface")


def test_endpoints_take_what_is_the_stack_s_unless_sandboxes_reach_everything() -> None:
    """All that goes to S3 from a subnet goes by its endpoint: a sandbox with the internet would miss every bucket."""
    for item in aws_program(interfaceEndpoints="true").of_type(":VpcEndpoint"):
        for statement in json.loads(item.inputs["policy"])["Statement"]:
            ours = statement.get("Condition") == {"StringEquals": {"aws:PrincipalAccount": "123456789012"}}
            assert ours or statement["Resource"] == "arn:aws:s3:::prod-us-east-1-starport-layer-bucket/*"
    for item in aws_program(interfaceEndpoints="true", sandboxInternet="true").of_type(":VpcEndpoint"):
        [statement] = json.loads(item.inputs["policy"])["Statement"]
        assert statement == {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}


def test_https_is_answered_and_http_is_sent_there() -> None:
    stack = aws_program(**TLS)
    https, http = (stack.named(f"{STACK_ID}-{name}", ":Listener").inputs for name in ("https", "http"))
    assert (https["port"], https["protocol"]) == (443, "HTTPS")
    assert https["sslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-2021-06"
    assert https["defaultActions"][0]["type"] == "forward"
    assert http["defaultActions"] == [
        {"type": "redirect", "redirect": {"protocol": "HTTPS", "port": "443", "statusCode": "HTTP_301"}}
    ]
    # The certificate is used once it is proved, by a record in the zone.
    [proved] = stack.of_type(":CertificateValidation")
    assert proved.name in stack.before(stack.named(f"{STACK_ID}-https", ":Listener"))
    record = stack.named(f"{STACK_ID}-validation", ":Record").inputs
    assert (record["name"], record["type"], record["zoneId"]) == (
        "_proof.forge.example.com",
        "CNAME",
        TLS["hostedZone"],
    )
    alias = stack.named(f"{STACK_ID}-domain", ":Record").inputs
    assert (alias["name"], alias["type"]) == ("forge.example.com", "A")
    assert alias["aliases"][0]["zoneId"] == "ZALB"
    assert stack.outputs["url"] == "https://forge.example.com"


def test_a_certificate_of_ones_own_needs_no_zone() -> None:
    arn = "arn:aws:acm:us-east-1:123456789012:certificate/mine"
    stack = aws_program(certificateArn=arn, domain="forge.example.com")
    assert stack.named(f"{STACK_ID}-https", ":Listener").inputs["certificateArn"] == arn
    assert not stack.of_type(":Record")
    assert stack.outputs["url"] == "https://forge.example.com"


def test_without_a_certificate_there_is_http_alone() -> None:
    stack = aws_program()
    [listener] = stack.of_type(":Listener")
    assert (listener.inputs["port"], listener.inputs["protocol"]) == (80, "HTTP")
    assert stack.outputs["url"] == f"http://{STACK_ID}-alb.elb.example"


def test_an_update_takes_minutes_and_streams_are_not_cut_while_they_are_silent() -> None:
    stack = aws_program(albIdleSeconds="120")
    [balancer] = stack.of_type(":LoadBalancer")
    assert balancer.inputs["idleTimeout"] == 120
    assert balancer.inputs["dropInvalidHeaderFields"] is True
    # The gateway believes the last address of X-Forwarded-For.
    assert balancer.inputs["xffHeaderProcessingMode"] == "append"
    [targets] = stack.of_type(":TargetGroup")
    assert (targets.inputs["targetType"], targets.inputs["port"]) == ("ip", 8080)
    assert targets.inputs["deregistrationDelay"] == 15
    health = targets.inputs["healthCheck"]
    assert (health["path"], health["interval"], health["healthyThreshold"]) == ("/api/ready", 5, 2)
    # ECS ends a gateway that is unhealthy: the table's absence for half a minute makes none so.
    assert health["unhealthyThreshold"] * health["interval"] == 40


def test_names_fit_what_a_load_balancer_takes_however_long_the_stacks() -> None:
    stack = aws_program(
        "a-rather-long-name_of-a-stack-of-fifty-two-letters01", protect="true", running="false"
    )
    for kind in (":LoadBalancer", ":TargetGroup", ":Bucket"):
        for item in stack.of_type(kind):
            if item.type.startswith("aws:"):
                assert len(item.name) <= (55 if kind == ":Bucket" else 24)
                assert "_" not in item.name
