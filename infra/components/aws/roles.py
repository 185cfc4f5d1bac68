"""A role for each of gateway and sandbox, and one for ECS to start each with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.components.aws import policies
from infra.components.aws.names import ROLE_LETTERS, short, tags_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RolesArgs:
    """ARNs. `repositories`, `logs`: by role. `family`: the name of the sandboxes' task definitions. `partition` and
    `account`: where the stack is."""

    stack_id: str
    region: str
    account: pulumi.Input[str]
    partition: pulumi.Input[str]
    table: pulumi.Input[str]
    bucket: pulumi.Input[str]
    key: pulumi.Input[str]
    secret: pulumi.Input[str]
    cluster: pulumi.Output[str]
    family: str
    repositories: Mapping[str, Sequence[pulumi.Input[str]]]
    logs: Mapping[str, pulumi.Input[str]]


class Roles(pulumi.ComponentResource):
    """ARNs. What depends on this component starts when the roles may do what they are for."""

    gateway: pulumi.Output[str]
    gateway_execution: pulumi.Output[str]
    sandbox: pulumi.Output[str]
    sandbox_execution: pulumi.Output[str]

    def __init__(self, name: str, args: RolesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:aws:Roles", name, None, opts)
        self._args = args
        self.sandbox = self._role("sandbox", "Sandboxes, which may do nothing", policies.nothing())
        self.sandbox_execution = self._execution("sandbox", None)
        self.gateway_execution = self._execution("gateway", args.secret)
        here = pulumi.Output.concat("arn:", args.partition, f":ecs:{args.region}:", args.account)
        named = policies.Named(
            stack_id=args.stack_id,
            region=args.region,
            table=args.table,
            bucket=args.bucket,
            key=args.key,
            cluster=args.cluster,
            family=pulumi.Output.concat(here, f":task-definition/{args.family}:*"),
            tasks=args.cluster.apply(lambda arn: f"{arn.replace(':cluster/', ':task/')}/*"),
            passed=(self.sandbox, self.sandbox_execution),
        )
        self.gateway = self._role("gateway", "Gateways", policies.gateway(named))
        self.register_outputs({})

    def _execution(self, role: str, secret: pulumi.Input[str] | None) -> pulumi.Output[str]:
        policy = policies.execution(
            self._args.repositories[role],
            self._args.logs[role],
            region=self._args.region,
            secret=secret,
            key=self._args.key,
        )
        return self._role(f"{role}-start", f"ECS, when it starts a {role}", policy)

    def _role(self, part: str, description: str, policy: pulumi.Output[str]) -> pulumi.Output[str]:
        args, child = self._args, pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role(
            short(args.stack_id, part, ROLE_LETTERS),
            description=description,
            assume_role_policy=policies.assumed_by_tasks(args.account),
            tags=tags_of(args.stack_id, part),
            opts=child,
        )
        aws.iam.RolePolicy(short(args.stack_id, part, ROLE_LETTERS), role=role.id, policy=policy, opts=child)
        return role.arn
