"""Where the tasks' output goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from infra.components.aws.names import kept, tags_of

ROLES: Final = ("gateway", "sandbox")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsArgs:
    """`days`: one of the numbers that CloudWatch has. `key`: an ARN."""

    stack_id: str
    region: str
    days: int
    key: pulumi.Input[str]
    protect: bool


class Logs(pulumi.ComponentResource):
    """A log group for each of `ROLES`; `arns` and `names` by role. Logs stay where data does."""

    arns: dict[str, pulumi.Output[str]]
    names: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, args: LogsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:aws:Logs", name, None, opts)
        self._region = args.region
        groups = {
            role: aws.cloudwatch.LogGroup(
                f"{args.stack_id}-{role}",
                retention_in_days=args.days,
                kms_key_id=args.key,
                tags=tags_of(args.stack_id, role),
                opts=kept(self, args.protect),
            )
            for role in ROLES
        }
        self.arns = {role: group.arn for role, group in groups.items()}
        self.names = {role: group.name for role, group in groups.items()}
        self.register_outputs({})

    def configuration(self, role: str) -> dict[str, Any]:
        """Of a container's definition. What CloudWatch does not take in time is dropped: a task never waits for it."""
        return {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": self.names[role],
                "awslogs-region": self._region,
                "awslogs-stream-prefix": role,
                "mode": "non-blocking",
                "max-buffer-size": "4m",
            },
        }
