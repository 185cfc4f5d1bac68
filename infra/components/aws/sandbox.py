"""What a sandbox is started from: a task definition, to which a gateway adds a session and its token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from infra.components.aws.names import tags_of
from infra.components.aws.network.groups import AGENT_PORT
from infra.components.aws.tasks import environment, size
from infra.rules.facts import SANDBOX_STOP_MARGIN_SECONDS

CONTAINER: Final = "sandbox"
"""Its name in the task definition, by which gateways give it its session."""

USER: Final = "0:0"
"""Of the first process, which makes the agent server and the agent two users without rights (container/uids.py)."""

DROPPED: Final = (
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SYS_CHROOT",
)
"""Of the capabilities that a container gets (KernelCapabilities in ECS's API reference), all but those that it takes to
be two users: KILL, SETGID, SETPCAP, SETUID. Fargate adds none, so what is needed is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxArgs:
    """`image`: by digest. `role`, `execution`: ARNs. `env`: what every sandbox is told. `logs`: a container's
    `logConfiguration`. `stop_seconds`: how long a run is waited for."""

    stack_id: str
    family: str
    image: pulumi.Output[str]
    role: pulumi.Output[str]
    execution: pulumi.Output[str]
    cpus: float
    memory_mb: int
    stop_seconds: int
    env: Mapping[str, pulumi.Input[str]]
    logs: Mapping[str, Any]


class Sandbox(pulumi.ComponentResource):
    """`task_definition`: an ARN with its revision. A task is a machine of its own (Fargate), so what the container
    lacks beside Docker's (no-new-privileges, limits of processes, a file system in memory) does not reach others; its
    file system can be written to as far as its user may: Fargate has no writable mount for another user than root."""

    task_definition: pulumi.Output[str]

    def __init__(self, name: str, args: SandboxArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:aws:Sandbox", name, None, opts)
        container = {
            "name": CONTAINER,
            "image": args.image,
            "essential": True,
            "user": USER,
            "environment": environment(args.env),
            "portMappings": [{"containerPort": AGENT_PORT, "protocol": "tcp"}],
            "linuxParameters": {"capabilities": {"drop": list(DROPPED)}},
            "stopTimeout": args.stop_seconds + SANDBOX_STOP_MARGIN_SECONDS,
            "logConfiguration": args.logs,
        }
        made = aws.ecs.TaskDefinition(
            f"{args.stack_id}-sandbox",
            family=args.family,
            container_definitions=pulumi.Output.json_dumps([container]),
            task_role_arn=args.role,
            execution_role_arn=args.execution,
            tags=tags_of(args.stack_id, "sandbox"),
            opts=pulumi.ResourceOptions(parent=self),
            **size(args.cpus, args.memory_mb),
        )
        self.task_definition = made.arn
        self.register_outputs({"taskDefinition": made.arn})
