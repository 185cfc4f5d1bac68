"""What task definitions of both roles have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import pulumi
import pulumi_aws as aws


class Size(TypedDict):
    """A task on Fargate, with its own network interface; `cpu` in 1,024ths, `memory` in MiB, both as texts."""

    cpu: str
    memory: str
    network_mode: str
    requires_compatibilities: list[str]
    runtime_platform: aws.ecs.TaskDefinitionRuntimePlatformArgs


def size(cpus: float, memory_mb: int) -> Size:
    """Of a pair that Fargate has (infra/rules refuses others)."""
    return Size(
        cpu=str(round(cpus * 1024)),
        memory=str(memory_mb),
        network_mode="awsvpc",
        requires_compatibilities=["FARGATE"],
        runtime_platform=aws.ecs.TaskDefinitionRuntimePlatformArgs(
            operating_system_family="LINUX", cpu_architecture="X86_64"
        ),
    )


def environment(env: Mapping[str, pulumi.Input[str]]) -> list[dict[str, Any]]:
    """Sorted: ECS tells them in an order of its own, and a preview would show one."""
    return [{"name": name, "value": env[name]} for name in sorted(env)]
