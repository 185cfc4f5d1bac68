"""How many sessions there may be at once, and the wall that comes first."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from infra.components.docker.machine import Machine
from infra.cost import capacity
from infra.cost.prices import FOLDER, quotas
from infra.program import program
from tests.infra.aws_programs import EXISTING, aws_program
from tests.infra.mocked import run
from tests.infra.rules.test_rules import DEFAULTS, settings_of

AWS, DOCKER = DEFAULTS["aws"], DEFAULTS["docker"]


def test_a_new_account_has_room_for_two_sessions_beside_its_gateways() -> None:
    told = capacity.on_aws(AWS)
    assert (told["sessions"], told["first"]) == (2, "Fargate On-Demand vCPU resource count (6)")
    assert told["more"] == "ask AWS for more (fargate L-3032A538)"
    assert list(told["walls"].values()) == sorted(told["walls"].values())
    assert aws_program().outputs["capacity"] == told


def test_spot_has_a_quota_of_its_own_that_gateways_take_nothing_of() -> None:
    told = capacity.on_aws(replace(AWS, sandbox_spot=True))
    assert (told["sessions"], told["first"]) == (3, "Fargate Spot vCPU resource count (6)")


def test_smaller_sandboxes_are_more_until_the_next_wall() -> None:
    small = replace(AWS, sandbox_cpus=0.25, sandbox_memory_mb=512, sandboxes=12)
    assert capacity.on_aws(small)["sessions"] == 12
    assert capacity.on_aws(small)["first"] == "the setting sandboxes"
    unlimited = capacity.on_aws(replace(small, sandboxes=0))
    assert unlimited["sessions"] == 20
    assert "the setting sandboxes" not in unlimited["walls"]


def test_gateways_may_take_the_whole_quota() -> None:
    assert capacity.on_aws(replace(AWS, gateway_replicas=16, gateway_replicas_most=16))["sessions"] == 0


def test_addresses_are_those_of_the_subnets_that_sandboxes_are_in() -> None:
    small = replace(AWS, vpc_cidr="10.0.0.0/24", sandboxes=20)
    assert capacity.on_aws(small)["walls"]["addresses of the private subnets of 10.0.0.0/24"] == 100
    public = replace(small, nat="none", sandbox_internet=True)
    assert capacity.on_aws(public)["walls"]["addresses of the public subnets of 10.0.0.0/24"] == 26
    existing = capacity.on_aws(settings_of({"target": "aws", **EXISTING}))
    assert not [name for name in existing["walls"] if "addresses" in name]


def test_on_docker_it_is_memory_where_the_machine_is_known_and_nothing_is_said_of_money() -> None:
    machine = Machine(memory_mb=2 * 1024 + 1024 + 256 + 1024 + 5 * 2048, cpus=2)
    outputs = run(program, machine=machine).outputs
    assert "cost" not in outputs
    assert (outputs["capacity"]["sessions"], outputs["capacity"]["first"]) == (
        5,
        "memory of the engine's machine",
    )
    unknown = run(program).outputs["capacity"]
    assert (unknown["sessions"], unknown["first"]) == (200, "the setting sandboxes")
    assert capacity.on_docker(DOCKER, -1000)["sessions"] == 0


def test_what_waits_for_sessions_comes_on_top_of_theirs_and_counts_at_its_largest() -> None:
    busy: dict[str, Any] = {"pool_size": 1, "pool_schedule": "Mon 08:00-18:00 UTC 2"}
    assert capacity.on_aws(replace(AWS, **busy))["sessions"] == 0
    assert capacity.on_docker(replace(DOCKER, **busy), 10 * 2048)["sessions"] == 8
    for told, tighter in (
        (capacity.on_docker(DOCKER, 10 * 2048), capacity.on_docker(replace(DOCKER, **busy), 10 * 2048)),
        (capacity.on_aws(AWS), capacity.on_aws(replace(AWS, **busy))),
    ):
        less = {name: told["walls"][name] - count for name, count in tighter["walls"].items()}
        of_sessions = {name for name in less if "connections of" in name or "setting" in name}
        assert less == {name: 0 if name in of_sessions else 2 for name in less}


def test_every_quota_says_where_it_is_from() -> None:
    content = json.loads((FOLDER / "quotas.json").read_text(encoding="utf-8"))
    assert "None was looked up at AWS" in content["about"]
    for name, quota in quotas().items():
        assert quota.value > 0, name
        assert "from memory" in quota.source, name
