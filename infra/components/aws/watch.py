"""A dashboard and alarms: what a person who is called at night looks at first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from infra.components.aws.metrics import (
    NAMESPACE,
    OPEN_CONNECTIONS,
    POOL_READY,
    RUNS_LOST,
    STACK_DIMENSION,
)
from infra.components.aws.names import tags_of

PERIOD: Final = 60
"""Seconds that one point is of."""

ALB: Final = "AWS/ApplicationELB"
DYNAMODB: Final = "AWS/DynamoDB"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchArgs:
    """`alb`, `targets`: what metrics of load balancer and target group are known by. `topic`: where alarms go, an ARN;
    empty tells nobody. `pool`: whether there is one of sandboxes, at any time."""

    stack_id: str
    region: str
    alb: pulumi.Output[str]
    targets: pulumi.Output[str]
    table_name: pulumi.Output[str]
    cluster_name: pulumi.Output[str]
    service_name: pulumi.Output[str]
    topic: str
    pool: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alarm:
    """Over `threshold` (or under, where `under`) in `points` minutes, one after another."""

    name: str
    says: str
    namespace: str
    metric: str
    dimensions: Mapping[str, pulumi.Input[str]]
    statistic: str
    threshold: float
    points: int
    under: bool = False


class Watch(pulumi.ComponentResource):
    """What has no points is well: a metric of errors has none while there are no errors."""

    def __init__(self, name: str, args: WatchArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:aws:Watch", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        for alarm in _alarms(args):
            aws.cloudwatch.MetricAlarm(
                f"{args.stack_id}-{alarm.name}",
                alarm_description=f"{args.stack_id}: {alarm.says}",
                namespace=alarm.namespace,
                metric_name=alarm.metric,
                dimensions=dict(alarm.dimensions),
                statistic=alarm.statistic,
                period=PERIOD,
                evaluation_periods=alarm.points,
                threshold=alarm.threshold,
                comparison_operator="LessThanThreshold" if alarm.under else "GreaterThanThreshold",
                treat_missing_data="notBreaching",
                alarm_actions=[args.topic] if args.topic else [],
                ok_actions=[args.topic] if args.topic else [],
                tags=tags_of(args.stack_id, alarm.name),
                opts=child,
            )
        aws.cloudwatch.Dashboard(
            f"{args.stack_id}-dashboard",
            dashboard_name=args.stack_id,
            dashboard_body=pulumi.Output.json_dumps({"widgets": _widgets(args)}),
            opts=child,
        )
        self.register_outputs({})


def _alarms(args: WatchArgs) -> list[_Alarm]:
    stack = {STACK_DIMENSION: args.stack_id}
    balancer = {"LoadBalancer": args.alb}
    targets = {**balancer, "TargetGroup": args.targets}
    table = {"TableName": args.table_name}
    found = [
        _Alarm(
            name="errors",
            says="gateways answer with 5xx",
            namespace=ALB,
            metric="HTTPCode_Target_5XX_Count",
            dimensions=balancer,
            statistic="Sum",
            threshold=10,
            points=3,
        ),
        _Alarm(
            name="unreachable",
            says="the load balancer answers with 5xx itself: it finds no gateway",
            namespace=ALB,
            metric="HTTPCode_ELB_5XX_Count",
            dimensions=balancer,
            statistic="Sum",
            threshold=10,
            points=3,
        ),
        _Alarm(
            name="unhealthy",
            says="a gateway is not healthy",
            namespace=ALB,
            metric="UnHealthyHostCount",
            dimensions=targets,
            statistic="Maximum",
            threshold=0,
            points=5,
        ),
        _Alarm(
            name="reads-throttled",
            says="DynamoDB throttles reads of the table",
            namespace=DYNAMODB,
            metric="ReadThrottleEvents",
            dimensions=table,
            statistic="Sum",
            threshold=0,
            points=3,
        ),
        _Alarm(
            name="writes-throttled",
            says="DynamoDB throttles writes to the table",
            namespace=DYNAMODB,
            metric="WriteThrottleEvents",
            dimensions=table,
            statistic="Sum",
            threshold=0,
            points=3,
        ),
        _Alarm(
            name="lost",
            says="runs end as lost",
            namespace=NAMESPACE,
            metric=RUNS_LOST,
            dimensions=stack,
            statistic="Sum",
            threshold=3,
            points=1,
        ),
    ]
    if args.pool:
        found.append(
            _Alarm(
                name="pool-empty",
                says="no sandbox waits for a session, so that sessions wait for sandboxes",
                namespace=NAMESPACE,
                metric=POOL_READY,
                dimensions=stack,
                statistic="Maximum",
                threshold=1,
                points=5,
                under=True,
            )
        )
    return found


def _widgets(args: WatchArgs) -> list[dict[str, Any]]:
    stack = [STACK_DIMENSION, args.stack_id]
    balancer = ["LoadBalancer", args.alb]
    service = ["ClusterName", args.cluster_name, "ServiceName", args.service_name]
    table = ["TableName", args.table_name]
    shown: list[tuple[str, str, list[list[Any]]]] = [
        ("Open connections of a gateway", "Average", [[NAMESPACE, OPEN_CONNECTIONS, *stack]]),
        (
            "Answers",
            "Sum",
            [
                [ALB, "RequestCount", *balancer],
                [ALB, "HTTPCode_Target_5XX_Count", *balancer],
                [ALB, "HTTPCode_ELB_5XX_Count", *balancer],
            ],
        ),
        (
            "Gateways",
            "Average",
            [
                [ALB, "HealthyHostCount", "TargetGroup", args.targets, *balancer],
                [ALB, "UnHealthyHostCount", "TargetGroup", args.targets, *balancer],
            ],
        ),
        (
            "CPU and memory of the gateways, percent",
            "Average",
            [["AWS/ECS", "CPUUtilization", *service], ["AWS/ECS", "MemoryUtilization", *service]],
        ),
        (
            "The table",
            "Sum",
            [
                [DYNAMODB, "ConsumedReadCapacityUnits", *table],
                [DYNAMODB, "ConsumedWriteCapacityUnits", *table],
                [DYNAMODB, "ReadThrottleEvents", *table],
                [DYNAMODB, "WriteThrottleEvents", *table],
            ],
        ),
        (
            "Runs lost; sandboxes that wait",
            "Maximum",
            [[NAMESPACE, RUNS_LOST, *stack], [NAMESPACE, POOL_READY, *stack]],
        ),
    ]
    return [
        {
            "type": "metric",
            "x": (number % 2) * 12,
            "y": number // 2 * 6,
            "width": 12,
            "height": 6,
            "properties": {
                "title": title,
                "region": args.region,
                "stat": statistic,
                "period": PERIOD,
                "metrics": metrics,
            },
        }
        for number, (title, statistic, metrics) in enumerate(shown)
    ]
