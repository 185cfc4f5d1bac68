"""How many gateways there are: as many as open connections and CPU ask for, between two bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from infra.components.aws.metrics import NAMESPACE, OPEN_CONNECTIONS, STACK_DIMENSION
from infra.components.aws.names import tags_of

CPU_PERCENT: Final = 60

CONNECTIONS_SHARE: Final = 0.5
"""Of what a gateway takes: one of two zones may go, and the other half bears all."""

OUT_SECONDS: Final = 60
IN_SECONDS: Final = 600
"""Between two steps. A gateway that goes sends its streams elsewhere, so fewer come slowly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingArgs:
    """`least`, `most`: gateways. `connections`: that one takes."""

    stack_id: str
    cluster_name: pulumi.Output[str]
    service_name: pulumi.Output[str]
    least: int
    most: int
    connections: int


class Scaling(pulumi.ComponentResource):
    """The most of what the two policies ask for."""

    def __init__(self, name: str, args: ScalingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:aws:Scaling", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        target = aws.appautoscaling.Target(
            f"{args.stack_id}-gateways",
            service_namespace="ecs",
            resource_id=pulumi.Output.concat("service/", args.cluster_name, "/", args.service_name),
            scalable_dimension="ecs:service:DesiredCount",
            min_capacity=args.least,
            max_capacity=args.most,
            tags=tags_of(args.stack_id, "gateways"),
            opts=child,
        )
        cpu = aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgs(
            target_value=CPU_PERCENT,
            scale_out_cooldown=OUT_SECONDS,
            scale_in_cooldown=IN_SECONDS,
            predefined_metric_specification=aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationPredefinedMetricSpecificationArgs(
                predefined_metric_type="ECSServiceAverageCPUUtilization"
            ),
        )
        connections = aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgs(
            target_value=args.connections * CONNECTIONS_SHARE,
            scale_out_cooldown=OUT_SECONDS,
            scale_in_cooldown=IN_SECONDS,
            customized_metric_specification=aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationArgs(
                namespace=NAMESPACE,
                metric_name=OPEN_CONNECTIONS,
                statistic="Average",
                dimensions=[
                    aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationCustomizedMetricSpecificationDimensionArgs(
                        name=STACK_DIMENSION, value=args.stack_id
                    )
                ],
            ),
        )
        for part, tracking in (("cpu", cpu), ("connections", connections)):
            aws.appautoscaling.Policy(
                f"{args.stack_id}-{part}",
                policy_type="TargetTrackingScaling",
                service_namespace=target.service_namespace,
                resource_id=target.resource_id,
                scalable_dimension=target.scalable_dimension,
                target_tracking_scaling_policy_configuration=tracking,
                opts=child,
            )
        self.register_outputs({})
