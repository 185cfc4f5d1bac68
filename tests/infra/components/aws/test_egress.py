"""The forward proxy on AWS: in the gateways' tasks where hosts are judged, and nowhere else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.config import read_settings
from infra.components.aws.egress import ADDRESS, PORT
from tests.conftest import ROOT
from tests.infra.aws_programs import aws_program, env_of
from tests.infra.mocked import STACK_ID, Program

KEY = "k" * 48


def containers(stack: Program, role: str) -> list[dict[str, Any]]:
    """Of a task definition."""
    [found] = [item for item in stack.of_type(":TaskDefinition") if item.name == f"{STACK_ID}-{role}"]
    return list(json.loads(found.inputs["containerDefinitions"]))


@pytest.mark.parametrize("egress", ["none", "all"])
def test_without_a_list_there_is_no_proxy(egress: str) -> None:
    stack = aws_program(egress=egress)
    [gateway] = containers(stack, "gateway")
    [sandbox] = containers(stack, "sandbox")
    assert "dependsOn" not in gateway
    assert not [name for name in env_of(gateway) if name == "VF_EGRESS"]
    assert "VF_EGRESS_PROXY" not in env_of(sandbox)
    assert f"{STACK_ID}-egress" not in {item.name for item in stack.resources.values()}


def test_with_one_the_gateway_s_task_has_the_proxy_beside_it() -> None:
    stack = aws_program(
        egress="registries", egressAllow="git, own.example.com", httpProxy="http://proxy.example:3128"
    )
    gateway, proxy = containers(stack, "gateway")
    assert gateway["dependsOn"] == [{"containerName": proxy["name"], "condition": "HEALTHY"}]
    assert [port["containerPort"] for port in gateway["portMappings"]] == [8080, 8081, 3128]
    assert (proxy["essential"], proxy["readonlyRootFilesystem"]) == (True, True)
    assert proxy["linuxParameters"] == {"capabilities": {"drop": ["ALL"]}}
    assert proxy["memory"] == 512
    assert "portMappings" not in proxy, "nobody but the gateway asks it"
    assert env_of(proxy) == {"VF_UPSTREAM_PROXY": "http://proxy.example:3128", "VF_TUNNELS": "1000"}
    assert "secrets" not in proxy
    repository = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{STACK_ID}-egress-0abcdef"
    assert proxy["image"].startswith(f"{repository}@sha256:")
    [sandbox] = containers(stack, "sandbox")
    name = env_of(sandbox)["ANTHROPIC_BASE_URL"].removesuffix(":8081")
    assert env_of(sandbox)["VF_EGRESS_PROXY"] == f"{name}:3128"
    secrets = {f"VF_{key}": KEY for key in ("JWT_SECRET", "SANDBOX_SECRET", "CREDENTIAL_KEY")}
    told = read_settings({**env_of(gateway), **secrets})
    assert (told.egress, told.egress_allow, told.egress_proxy, told.egress_port) == (
        "registries",
        ("git", "own.example.com"),
        ADDRESS,
        3128,
    )
    assert not told.model_network_tools


def test_ecs_may_fetch_both_images_and_no_other() -> None:
    stack = aws_program(egress="list", egressAllow="pypi")
    policies = [json.loads(item.inputs["policy"]) for item in stack.of_type(":RolePolicy")]
    fetched = [
        statement["Resource"]
        for policy in policies
        for statement in policy["Statement"]
        if "ecr:BatchGetImage" in statement["Action"]
    ]
    named = sorted(sorted(arn.rpartition("/")[2] for arn in arns) for arns in fetched)
    parts = [["egress", "gateway"], ["sandbox"]]
    assert named == [[f"{STACK_ID}-{part}-0abcdef" for part in of] for of in parts]


def test_the_proxy_listens_where_it_is_asked() -> None:
    start = (ROOT / "infra" / "egress" / "start").read_text(encoding="utf-8")
    assert f"--listen-port {PORT} " in start


def test_a_task_has_memory_for_both() -> None:
    with pytest.raises(Exception, match="egressMemoryMb"):
        aws_program(egress="registries", egressMemoryMb="1024")
    aws_program(egress="all", egressMemoryMb="1024")
