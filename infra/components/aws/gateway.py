"""The gateways: a service of interchangeable tasks behind the load balancer, found by sandboxes under one name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from infra.components.aws import egress
from infra.components.aws.egress import EgressArgs, egress_container
from infra.components.aws.names import tags_of
from infra.components.aws.network.groups import BROKER_PORT, EGRESS_PORT, GATEWAY_PORT
from infra.components.aws.tasks import environment, size
from infra.rules.facts import STOP_MARGIN_SECONDS

CONTAINER: Final = "gateway"

PROTECT_MINUTES: Final = 15
"""How long an update waits, at most, for a gateway that records runs (gateway/runs/protection.py)."""

UPDATE_MINUTES: Final = PROTECT_MINUTES + 25
"""How long `up` waits for the gateways: the provider's own 20 minutes would be over while old ones are protected."""

NAME_SECONDS: Final = 10
"""How long a sandbox may remember where the broker is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayArgs:
    """`image`: by digest. `role`, `execution`, `cluster`, `target_group`: ARNs. `domain`: of the private names; the
    broker is `gateway.<domain>`. `env`, `secrets`: the settings (`gateway/config.py`), the latter as references to
    Secrets Manager. `files`: open at once. `drain_seconds`: how long one takes to send its streams elsewhere.
    `egress`: the forward proxy of sandboxes, None where no hosts are judged. `after`: what a gateway calls: ready
    before it starts, deleted after it."""

    stack_id: str
    image: pulumi.Output[str]
    role: pulumi.Output[str]
    execution: pulumi.Output[str]
    cluster: pulumi.Output[str]
    cpus: float
    memory_mb: int
    files: int
    replicas: int
    drain_seconds: int
    vpc_id: pulumi.Input[str]
    subnets: Sequence[pulumi.Input[str]]
    group: pulumi.Input[str]
    public_ip: bool
    domain: str
    target_group: pulumi.Output[str]
    env: Mapping[str, pulumi.Input[str]]
    secrets: Mapping[str, pulumi.Output[str]]
    logs: Mapping[str, Any]
    egress: EgressArgs | None
    after: Sequence[pulumi.Resource]


def broker_url(domain: str) -> str:
    """Where sandboxes find the broker."""
    return f"http://{CONTAINER}.{domain}:{BROKER_PORT}"


def egress_url(domain: str) -> str:
    """Where sandboxes find the proxy by which they reach hosts outside."""
    return f"http://{CONTAINER}.{domain}:{EGRESS_PORT}"


class Gateway(pulumi.ComponentResource):
    """An update starts new tasks beside the old ones, and goes back where they do not become healthy."""

    service: aws.ecs.Service

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:aws:Gateway", name, None, opts)
        self._args = args
        stack_id = args.stack_id
        definition = aws.ecs.TaskDefinition(
            f"{stack_id}-gateway",
            family=f"{stack_id}-gateway",
            container_definitions=pulumi.Output.json_dumps(self._containers()),
            task_role_arn=args.role,
            execution_role_arn=args.execution,
            tags=tags_of(stack_id, "gateway"),
            opts=pulumi.ResourceOptions(parent=self),
            **size(args.cpus, args.memory_mb),
        )
        self.service = aws.ecs.Service(
            f"{stack_id}-gateway",
            cluster=args.cluster,
            task_definition=definition.arn,
            desired_count=args.replicas,
            launch_type="FARGATE",
            availability_zone_rebalancing="ENABLED",
            deployment_minimum_healthy_percent=100,
            deployment_maximum_percent=200,
            deployment_circuit_breaker=aws.ecs.ServiceDeploymentCircuitBreakerArgs(
                enable=True, rollback=True
            ),
            health_check_grace_period_seconds=30,
            # `up` ends when the gateways are the new ones, and fails where ECS went back to the old.
            wait_for_steady_state=True,
            enable_execute_command=False,
            enable_ecs_managed_tags=True,
            propagate_tags="SERVICE",
            network_configuration=aws.ecs.ServiceNetworkConfigurationArgs(
                subnets=list(args.subnets), security_groups=[args.group], assign_public_ip=args.public_ip
            ),
            load_balancers=[
                aws.ecs.ServiceLoadBalancerArgs(
                    target_group_arn=args.target_group, container_name=CONTAINER, container_port=GATEWAY_PORT
                )
            ],
            service_registries=aws.ecs.ServiceServiceRegistriesArgs(registry_arn=self._found_by()),
            tags=tags_of(stack_id, "gateway"),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                # How many there are autoscaling says, between its bounds.
                ignore_changes=["desiredCount"],
                custom_timeouts=pulumi.CustomTimeouts(update=f"{UPDATE_MINUTES}m"),
            ),
        )
        self.register_outputs({})

    def _containers(self) -> list[dict[str, Any]]:
        args = self._args
        if args.egress is None:
            return [self._container({}, (GATEWAY_PORT, BROKER_PORT))]
        # Started before the gateway, it is stopped behind it, which first drains.
        first = {"dependsOn": [{"containerName": egress.CONTAINER, "condition": "HEALTHY"}]}
        ports = (GATEWAY_PORT, BROKER_PORT, EGRESS_PORT)
        return [self._container(first, ports), egress_container(args.egress)]

    def _container(self, more: Mapping[str, Any], ports: Sequence[int]) -> dict[str, Any]:
        args = self._args
        env = {
            **args.env,
            "VF_STACK": args.stack_id,
            "VF_PORT": str(GATEWAY_PORT),
            "VF_BROKER_PORT": str(BROKER_PORT),
            "VF_DRAIN_SECONDS": str(args.drain_seconds),
            "VF_PROTECT_MINUTES": str(PROTECT_MINUTES),
        }
        return {
            "name": CONTAINER,
            "image": args.image,
            "essential": True,
            "readonlyRootFilesystem": True,
            "environment": environment(env),
            "secrets": [{"name": name, "valueFrom": args.secrets[name]} for name in sorted(args.secrets)],
            "portMappings": [{"containerPort": port, "protocol": "tcp"} for port in ports],
            # ECS does not read the image's own.
            "healthCheck": {
                "command": ["CMD", "python", "-m", "gateway.healthcheck"],
                "interval": 10,
                "timeout": 5,
                "retries": 3,
                "startPeriod": 30,
            },
            "linuxParameters": {"capabilities": {"drop": ["ALL"]}},
            "ulimits": [{"name": "nofile", "softLimit": args.files, "hardLimit": args.files}],
            "stopTimeout": args.drain_seconds + STOP_MARGIN_SECONDS,
            "logConfiguration": args.logs,
            **more,
        }

    def _found_by(self) -> pulumi.Output[str]:
        args, child = self._args, pulumi.ResourceOptions(parent=self)
        namespace = aws.servicediscovery.PrivateDnsNamespace(
            f"{args.stack_id}-names",
            name=args.domain,
            description=f"Names in {args.stack_id}",
            vpc=args.vpc_id,
            tags=tags_of(args.stack_id, "names"),
            opts=child,
        )
        return aws.servicediscovery.Service(
            f"{args.stack_id}-gateway",
            name=CONTAINER,
            dns_config=aws.servicediscovery.ServiceDnsConfigArgs(
                namespace_id=namespace.id,
                routing_policy="MULTIVALUE",
                dns_records=[aws.servicediscovery.ServiceDnsConfigDnsRecordArgs(type="A", ttl=NAME_SECONDS)],
            ),
            # A task that was killed leaves its address behind.
            force_destroy=True,
            tags=tags_of(args.stack_id, "gateway-name"),
            opts=child,
        ).arn
