"""What a stack costs: figures from the one file, and as many of each thing as the program declares."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import fields, replace
from typing import Any

import pytest

from gateway import app
from gateway.config import Settings as GatewaySettings
from gateway.store import keys
from infra.components.aws.network import alb
from infra.config import Settings
from infra.cost import money
from infra.cost.money import HOURS, USAGE, cost, idle_month
from infra.cost.prices import FOLDER, prices_of
from tests.infra.aws_programs import EXISTING, aws_program
from tests.infra.mocked import Program
from tests.infra.rules.test_rules import DEFAULTS, settings_of

AWS = DEFAULTS["aws"]


def counts(settings: Settings) -> dict[str, float]:
    """By part, what it costs with a price of 1 for everything."""
    ones = {name: replace(price, usd=1.0) for name, price in (prices_of("us-east-1") or {}).items()}
    found: dict[str, float] = {}
    for item in idle_month(settings, ones):
        found[item.part] = found.get(item.part, 0.0) + item.usd
    return found


def interfaces(stack: Program) -> int:
    """Of interface endpoints, one a subnet."""
    found = [
        item.inputs for item in stack.of_type(":VpcEndpoint") if item.inputs["vpcEndpointType"] == "Interface"
    ]
    return sum(len(inputs["subnetIds"]) for inputs in found)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"nat": "zone", "zones": "3", "interfaceEndpoints": "true"},
        {
            "nat": "none",
            "sandboxInternet": "true",
            "gatewayReplicas": "4",
            "gatewayCpus": "1",
            "gatewayMemoryMb": "2048",
        },
        EXISTING,
        {"poolSize": "3"},
        {"poolSchedule": "Mon-Fri 08:00-18:00 Europe/Berlin 10"},
    ],
    ids=["default", "large", "without NAT", "existing network", "pool", "pool by a schedule"],
)
def test_as_much_is_counted_as_the_program_declares(config: dict[str, str]) -> None:
    stack, found = aws_program(**config), counts(settings_of({"target": "aws", **config}))
    [balancer] = stack.of_type(":LoadBalancer")
    [service] = [item for item in stack.of_type(":Service") if item.type.startswith("aws:ecs")]
    [task] = [item for item in stack.of_type(":TaskDefinition") if item.name.endswith("-gateway")]
    replicas = service.inputs["desiredCount"]
    assert found["load balancer"] == HOURS
    assert found.get("NAT gateways", 0) == HOURS * len(stack.of_type(":NatGateway"))
    addresses = len(balancer.inputs["subnets"]) + len(stack.of_type(":Eip"))
    assert found["public IPv4 addresses"] == HOURS * addresses
    of_gateways = replicas if service.inputs["networkConfiguration"]["assignPublicIp"] else 0
    assert found.get("public IPv4 addresses of gateways", 0) == HOURS * of_gateways
    assert found.get("interface endpoints", 0) == HOURS * interfaces(stack)
    size = int(task.inputs["cpu"]) / 1024 + int(task.inputs["memory"]) / 1024
    assert found["gateways on Fargate"] == pytest.approx(HOURS * replicas * size)
    scaled = 2 * len(
        [item for item in stack.of_type(":Policy") if item.type.startswith("aws:appautoscaling")]
    )
    assert found["CloudWatch alarms"] == len(stack.of_type(":MetricAlarm")) + scaled
    assert found["CloudWatch dashboard"] == len(stack.of_type(":Dashboard"))
    assert found["KMS"] == len([item for item in stack.of_type(":Key") if item.type.startswith("aws:kms")])
    assert found["Secrets Manager"] == len(stack.of_type(":Secret"))
    [sandbox] = [item for item in stack.of_type(":TaskDefinition") if item.name.endswith("-sandbox")]
    waiting = int(sandbox.inputs["cpu"]) / 1024 + int(sandbox.inputs["memory"]) / 1024
    pool = 10 * 50 / 168 if "poolSchedule" in config else int(config.get("poolSize", 0))
    assert found.get("the pool: sandbox on Fargate", 0) == pytest.approx(HOURS * pool * waiting)
    assert found["private names"] == len(stack.of_type(":PrivateDnsNamespace"))


def test_what_gateways_do_when_nobody_comes_is_the_codes() -> None:
    published = re.findall(r'"([A-Z]\w+)":', inspect.getsource(app._figures))
    of_the_pool = [name for name in published if name.startswith("Pool")]
    # A task's disk is its own: there nobody tells of one.
    of_the_disk = [name for name in published if name.startswith("Disk")]
    assert len(published) - len(of_the_pool) - len(of_the_disk) == money.METRICS
    assert len(of_the_pool) == money.POOL_METRICS
    [lease] = [item.default for item in fields(GatewaySettings) if item.name == "lease_seconds"]
    assert isinstance(lease, float)
    assert pytest.approx(5 / lease) == money.SWEEPS_A_SECOND
    assert keys.OPEN_SHARDS * 0.5 == money.SWEEP_UNITS
    assert pytest.approx(1 / alb.HEALTH_SECONDS) == money.CHECKS_A_SECOND
    assert counts(AWS)["DynamoDB"] == pytest.approx(2 * 2.628 + 2 * 2 * 0.5256)


def test_figures_are_the_files_times_what_there_is() -> None:
    prices = json.loads((FOLDER / "prices.json").read_text(encoding="utf-8"))["regions"]["us-east-1"]

    def usd(name: str) -> float:
        return float(prices[name]["usd"])

    told = cost(AWS)
    idle = told["idleMonth"]
    assert idle["load balancer (1)"] == round(730 * usd("alb-hour"), 2)
    gateways = 2 * 730 * (0.5 * usd("fargate-vcpu-hour") + usd("fargate-gb-hour"))
    assert idle["gateways on Fargate (2 of 0.5 vCPU and 1024 MiB)"] == round(gateways, 2)
    assert idle["total"] == pytest.approx(sum(value for name, value in idle.items() if name != "total"))
    hour = round(2 * usd("fargate-vcpu-hour") + 4 * usd("fargate-gb-hour"), 4)
    assert told["sessionHour"] == {"sandbox on Fargate (2 vCPU and 4096 MiB)": hour, "total": hour}
    assert len(told["usage"]) == len(USAGE)
    assert told["usage"]["DynamoDB: million write units on demand"] == usd("write-million")


def test_a_pool_by_a_schedule_costs_its_mean_over_the_week_by_the_clocks_of_each_place() -> None:
    # New York is 6 hours behind Berlin: 10 hours of 10, 6 more of 4, and 1 in the rest of the week.
    busy = "Mon 08:00-18:00 Europe/Berlin 10; Mon 08:00-18:00 America/New_York 4"
    found = counts(replace(AWS, pool_size=1, pool_schedule=busy))["the pool: sandbox on Fargate"]
    assert found == pytest.approx(HOURS * (10 * 10 + 6 * 4 + (168 - 16)) / 168 * (2 + 4))
    told = cost(replace(AWS, pool_size=1, pool_schedule=busy))["idleMonth"]
    assert "the pool: sandbox on Fargate (1.643 of 2 vCPU and 4096 MiB)" in told


def test_spot_has_its_own_price_and_an_address_is_paid_for() -> None:
    spot = cost(replace(AWS, sandbox_spot=True, sandbox_internet=True, nat="none"))["sessionHour"]
    assert spot["sandbox on Fargate Spot (2 vCPU and 4096 MiB)"] < cost(AWS)["sessionHour"]["total"]
    assert spot["public IPv4 address (1)"] == 0.005


def test_a_region_without_prices_has_no_figure() -> None:
    told = cost(replace(AWS, region="eu-central-1"))
    assert told == {
        "region": "eu-central-1",
        "told": "infra/cost/prices.json has no prices of eu-central-1, only of us-east-1: no figure is told",
    }


def test_a_stack_that_is_stopped_costs_what_it_keeps() -> None:
    assert set(counts(replace(AWS, running=False))) == {"KMS", "Secrets Manager"}
    kept = set(counts(replace(AWS, running=False, stack="prod")))
    assert kept >= {"load balancer", "NAT gateways"}
    assert "gateways on Fargate" not in kept


def test_every_price_says_what_for_when_and_where_from() -> None:
    content = json.loads((FOLDER / "prices.json").read_text(encoding="utf-8"))
    assert "none was looked up at AWS" in content["about"]
    names = [set(prices) for prices in content["regions"].values()]
    assert names[0] >= set(USAGE)
    for prices in content["regions"].values():
        assert set(prices) == names[0]
        for name, price in prices.items():
            assert set(price) == {"usd", "per", "date", "from", "source"}, name
            assert price["usd"] > 0, name
            assert price["from"] in {"public page", "memory"}, name
            assert ("https://" in price["source"]) is (price["from"] == "public page"), name
            assert re.fullmatch(r"20\d\d(-\d\d){0,2}", price["date"]), name


def test_a_stack_tells_it_and_one_on_docker_nothing_of_money() -> None:
    stack: dict[str, Any] = aws_program().outputs
    assert stack["cost"] == cost(AWS)
    assert stack["cost"]["idleMonth"]["total"] > 100
