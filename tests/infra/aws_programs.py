"""Programs of the `aws` target, each run once however many tests look at it."""

from __future__ import annotations

import functools
import json
from typing import Any

from infra.program import program
from tests.infra.mocked import Declared, Program, run

TLS = {"domain": "forge.example.com", "hostedZone": "Z0123456789ABC"}

EXISTING = {
    "vpcId": "vpc-12345678",
    "publicSubnets": "subnet-aaaaaaa1,subnet-aaaaaaa2",
    "privateSubnets": "subnet-bbbbbbb1, subnet-bbbbbbb2",
}
"""A network that is there."""


def aws_program(stack: str = "test", **config: str) -> Program:
    """What a stack of the `aws` target declares; keys without the project."""
    return _program(stack, tuple(sorted(config.items())))


@functools.cache
def _program(stack: str, config: tuple[tuple[str, str], ...]) -> Program:
    return run(
        program, {"target": "aws", **dict(config)}, {"modelApiKey": "model-api-key-of-the-team"}, stack=stack
    )


def role_of(resource: Declared) -> str:
    """Which part of the stack it says that it is."""
    return str(resource.inputs["tags"]["vaporforge:role"])


def definition(stack: Program, role: str) -> tuple[Declared, dict[str, Any]]:
    """A task definition and its one container."""
    [found] = [item for item in stack.of_type(":TaskDefinition") if role_of(item) == role]
    [container] = json.loads(found.inputs["containerDefinitions"])
    return found, container


def env_of(container: dict[str, Any]) -> dict[str, str]:
    """A container's variables, but for those that are secrets."""
    names = [item["name"] for item in container["environment"]]
    assert names == sorted(set(names))
    return {item["name"]: item["value"] for item in container["environment"]}
