"""Each rule: refused with the chain of its values and what to change, and taken at its edge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.config import ROOT, Settings, read_settings
from infra.program import program
from infra.rules.check import RULES, check
from infra.rules.rule import Ordered
from infra.values import ConfigError
from tests.infra.mocked import run

SUBNETS = ",".join(f"subnet-{number:08x}" for number in range(17))

ARN = "arn:aws:acm:eu-central-1:123456789012:certificate/1"


def settings_of(config: dict[str, str]) -> Settings:
    found: list[Settings] = []
    run(lambda: found.append(read_settings()), config)
    return found[0]


DEFAULTS = {target: settings_of({"target": target}) for target in ("docker", "aws")}


def refusal(target: str, changes: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as refused:
        check(replace(DEFAULTS[target], **changes))
    return str(refused.value)


Changes = dict[str, Any]

CASES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "refusals.yaml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["rule"])
def test_a_rule_refuses_with_its_chain_and_takes_its_edge(case: dict[str, Any]) -> None:
    defaults = DEFAULTS[case["target"]]
    assert refusal(case["target"], case["broken"]) == case["refusal"]
    [rule] = [rule for rule in RULES if rule.name == case["rule"]]
    assert rule.refusal(replace(defaults, **case["broken"])) == case["refusal"]
    check(replace(defaults, **case["edge"]))


def test_every_rule_is_shown_to_refuse() -> None:
    assert {case["rule"] for case in CASES} == {rule.name for rule in RULES}
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(
    ("target", "broken", "said"),
    [
        (
            "aws",
            {"vpc_cidr": "10.42.0.1/16"},
            "it must be the beginning of its network, which is 10.42.0.0/16",
        ),
        ("aws", {"vpc_cidr": "10.300.0.0/16"}, "it must be a network such as 10.42.0.0/16"),
        (
            "aws",
            {"vpc_id": "vpc-1", "public_subnets": "subnet-1,subnet-1", "private_subnets": "subnet-2"},
            "vaporforge:publicSubnets names 1; it must name two or more",
        ),
        (
            "aws",
            {"vpc_id": "vpc-1", "public_subnets": "subnet-a,subnet-b", "private_subnets": SUBNETS},
            "vaporforge:privateSubnets names 17; it must name 16 at most",
        ),
        (
            "aws",
            {"vpc_id": "vpc-1", "public_subnets": "subnet-a,subnet-b", "private_subnets": "subnet-b"},
            "vaporforge:privateSubnets names subnet-b, as vaporforge:publicSubnets does",
        ),
        (
            "aws",
            {"hosted_zone": "Z0", "domain": "a.example", "certificate_arn": ARN},
            "vaporforge:certificateArn is set; with vaporforge:hostedZone Z0 it must not be",
        ),
        (
            "aws",
            {"certificate_arn": ARN},
            "vaporforge:certificateArn is of eu-central-1; with vaporforge:region us-east-1 it must be of that region",
        ),
        ("aws", {"alarm_topic": ARN.replace("acm", "sns")}, "vaporforge:alarmTopic is of eu-central-1"),
        ("aws", {"sandbox_cpus": 0.25, "sandbox_memory_mb": 1536}, "it must be 512, 1024 or 2048"),
        ("aws", {"sandbox_cpus": 8.0, "sandbox_memory_mb": 17_408}, "16384 to 61440 in steps of 4096"),
        (
            "docker",
            {"connections": 2501, "bind_address": "::"},
            "with vaporforge:bindAddress :: it must be 2500 at most",
        ),
    ],
)
def test_what_else_a_rule_refuses(target: str, broken: Changes, said: str) -> None:
    assert said in refusal(target, broken)


def test_a_rule_holds_on_its_own_target_alone() -> None:
    check(
        replace(
            DEFAULTS["docker"],
            alb_idle_seconds=1,
            gateway_replicas=1,
            sandbox_cpus=1.5,
            vpc_cidr="1.2.3.4/32",
        )
    )
    check(replace(DEFAULTS["aws"], connections=5000, dynamodb="aws", sandboxes=1500))


def test_no_default_and_no_stack_of_the_repository_is_refused() -> None:
    for target in ("docker", "aws"):
        check(DEFAULTS[target])
        for path in sorted((ROOT / "infra" / "stacks").glob("Pulumi.*.yaml")):
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            config = {key.removeprefix("vaporforge:"): str(value) for key, value in content["config"].items()}
            check(settings_of({**config, "target": target}))


def test_a_default_of_fargate_is_one_that_fargate_has() -> None:
    docker, aws = DEFAULTS["docker"], DEFAULTS["aws"]
    assert (docker.sandbox_memory_mb, docker.start_seconds) == (2048, 60)
    assert (aws.sandbox_memory_mb, aws.start_seconds) == (4096, 180)
    given = settings_of({"target": "aws", "sandboxMemoryMb": "5120", "startSeconds": "90"})
    assert (given.sandbox_memory_mb, given.start_seconds) == (5120, 90)


@pytest.mark.parametrize("target", ["docker", "aws"])
def test_the_program_declares_nothing_where_a_rule_is_broken(target: str) -> None:
    with pytest.raises(ConfigError, match="vaporforge:headSeconds is 60"):
        run(program, {"target": target, "headSeconds": "60"})


def test_every_ordered_rule_names_a_setting_of_its_own_to_change() -> None:
    for rule in RULES:
        if isinstance(rule, Ordered):
            assert rule.change in rule.names, rule.name
