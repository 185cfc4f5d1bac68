"""The cluster that gateways and sandboxes are tasks of, and the end of the sandboxes before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.cleanup import SandboxTasks
from infra.components.aws.names import tags_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterArgs:
    """`family`: the name of the sandboxes' task definitions."""

    stack_id: str
    region: str
    family: str


class Cluster(pulumi.ComponentResource):
    """Of Fargate, on demand and spot."""

    arn: pulumi.Output[str]
    cluster_name: pulumi.Output[str]

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:aws:Cluster", name, None, opts)
        self._args = args
        cluster = aws.ecs.Cluster(
            f"{args.stack_id}-cluster",
            settings=[aws.ecs.ClusterSettingArgs(name="containerInsights", value="disabled")],
            tags=tags_of(args.stack_id, "cluster"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self._capacity = aws.ecs.ClusterCapacityProviders(
            f"{args.stack_id}-cluster",
            cluster_name=cluster.name,
            capacity_providers=["FARGATE", "FARGATE_SPOT"],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.arn, self.cluster_name = cluster.arn, cluster.name
        self.register_outputs({})

    def sandboxes(self, used: Sequence[pulumi.Resource]) -> SandboxTasks:
        """What ends the sandboxes: after the gateways, which must depend on it, and before all that `used` names
        and the capacity that they run on, which ECS does not take from a cluster while they do."""
        return SandboxTasks(
            f"{self._args.stack_id}-sandboxes",
            cluster=self.arn,
            family=self._args.family,
            region=self._args.region,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self._capacity, *used]),
        )
