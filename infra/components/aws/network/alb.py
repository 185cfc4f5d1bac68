"""The load balancer: TLS, the way from HTTP to HTTPS, and the gateways that are healthy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from infra.components.aws.names import BALANCER_LETTERS, short, tags_of
from infra.components.aws.network.groups import GATEWAY_PORT, HTTPS

HTTP: Final = 80

TLS_POLICY: Final = "ELBSecurityPolicy-TLS13-1-2-2021-06"
"""TLS 1.3 and 1.2, with forward secrecy."""

DEREGISTER_SECONDS: Final = 15
"""How long a gateway that is going keeps the requests it has; then its streams go on at another (they resume), and ECS
tells it to end. The default, 300, is what makes updates take tens of minutes."""

HEALTH_SECONDS: Final = 5
"""Between two questions; two answers make a gateway healthy."""

UNHEALTHY_AFTER: Final = 8
"""Failures in a row. ECS replaces a gateway that is unhealthy, streams and all, and all of them are while DynamoDB does
not answer: what it takes to be back is waited for. One that drains or has ended is taken out by ECS at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlbArgs:
    """`internet`: what the subnets are reached by, there as long as the load balancer is. `certificate`: an ARN, None
    for HTTP alone. `domain`, `hosted_zone`: where a record is made, unless empty. `running`: whether there are
    gateways; without, everybody is told that the stack is stopped."""

    stack_id: str
    vpc_id: pulumi.Input[str]
    subnets: Sequence[pulumi.Input[str]]
    internet: Sequence[pulumi.Resource]
    group: pulumi.Input[str]
    certificate: pulumi.Input[str] | None
    domain: str
    hosted_zone: str
    idle_seconds: int
    protect: bool
    running: bool


class Alb(pulumi.ComponentResource):
    """`host`: its own name. `dimension`, `target_dimension`: what its metrics are known by. `ready`: what a service
    must wait for: ECS takes no target group that no listener has."""

    host: pulumi.Output[str]
    dimension: pulumi.Output[str]
    target_group: pulumi.Output[str]
    target_dimension: pulumi.Output[str]
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: AlbArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:aws:Alb", name, None, opts)
        stack_id = args.stack_id
        balancer = aws.lb.LoadBalancer(
            short(stack_id, "alb", BALANCER_LETTERS),
            load_balancer_type="application",
            internal=False,
            security_groups=[args.group],
            subnets=list(args.subnets),
            idle_timeout=args.idle_seconds,
            drop_invalid_header_fields=True,
            desync_mitigation_mode="defensive",
            # The last address in X-Forwarded-For is then the client's, and the gateway reads that one.
            xff_header_processing_mode="append",
            enable_deletion_protection=args.protect,
            tags=tags_of(stack_id, "alb"),
            # A VPC without a gateway to the internet gets no load balancer, and one whose load balancer has public
            # addresses keeps its gateway.
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect, depends_on=list(args.internet)),
        )
        self.host, self.dimension = balancer.dns_name, balancer.arn_suffix
        self.ready = []
        targets = aws.lb.TargetGroup(
            short(stack_id, "gateway", BALANCER_LETTERS),
            vpc_id=args.vpc_id,
            target_type="ip",
            port=GATEWAY_PORT,
            protocol="HTTP",
            protocol_version="HTTP1",
            load_balancing_algorithm_type="least_outstanding_requests",
            deregistration_delay=DEREGISTER_SECONDS,
            health_check=aws.lb.TargetGroupHealthCheckArgs(
                path="/api/ready",
                protocol="HTTP",
                matcher="200",
                interval=HEALTH_SECONDS,
                timeout=HEALTH_SECONDS - 1,
                healthy_threshold=2,
                unhealthy_threshold=UNHEALTHY_AFTER,
            ),
            tags=tags_of(stack_id, "gateway"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.target_group, self.target_dimension = targets.arn, targets.arn_suffix
        forward = _forward(targets.arn) if args.running else _stopped()
        if args.certificate is None:
            self._listener(stack_id, "http", balancer.arn, HTTP, forward, None)
        else:
            self._listener(stack_id, "https", balancer.arn, HTTPS, forward, args.certificate)
            self._listener(stack_id, "http", balancer.arn, HTTP, _to_https(), None)
        if args.domain and args.hosted_zone:
            aws.route53.Record(
                f"{stack_id}-domain",
                zone_id=args.hosted_zone,
                name=args.domain,
                type="A",
                aliases=[
                    aws.route53.RecordAliasArgs(
                        name=balancer.dns_name, zone_id=balancer.zone_id, evaluate_target_health=False
                    )
                ],
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({"host": self.host})

    def _listener(
        self,
        stack_id: str,
        name: str,
        balancer: pulumi.Input[str],
        port: int,
        action: aws.lb.ListenerDefaultActionArgs,
        certificate: pulumi.Input[str] | None,
    ) -> None:
        made = aws.lb.Listener(
            f"{stack_id}-{name}",
            load_balancer_arn=balancer,
            port=port,
            protocol="HTTP" if certificate is None else "HTTPS",
            ssl_policy=None if certificate is None else TLS_POLICY,
            certificate_arn=certificate,
            default_actions=[action],
            tags=tags_of(stack_id, name),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.ready.append(made)


def _forward(target_group: pulumi.Input[str]) -> aws.lb.ListenerDefaultActionArgs:
    return aws.lb.ListenerDefaultActionArgs(type="forward", target_group_arn=target_group)


def _to_https() -> aws.lb.ListenerDefaultActionArgs:
    return aws.lb.ListenerDefaultActionArgs(
        type="redirect",
        redirect=aws.lb.ListenerDefaultActionRedirectArgs(
            protocol="HTTPS", port=str(HTTPS), status_code="HTTP_301"
        ),
    )


def _stopped() -> aws.lb.ListenerDefaultActionArgs:
    return aws.lb.ListenerDefaultActionArgs(
        type="fixed-response",
        fixed_response=aws.lb.ListenerDefaultActionFixedResponseArgs(
            status_code="503", content_type="text/plain", message_body="This VaporForge is stopped."
        ),
    )
