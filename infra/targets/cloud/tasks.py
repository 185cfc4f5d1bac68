"""What runs of a stack: images, cluster, roles, the sandboxes' task definition, gateways, and what watches them."""

from __future__ import annotations

from typing import Final

import pulumi

from infra.components.aws import egress
from infra.components.aws.cluster import Cluster, ClusterArgs
from infra.components.aws.egress import EgressArgs
from infra.components.aws.gateway import Gateway, GatewayArgs, broker_url, egress_url
from infra.components.aws.names import label_of
from infra.components.aws.network.groups import AGENT_PORT, EGRESS_PORT
from infra.components.aws.registry import Registry, RegistryArgs
from infra.components.aws.roles import Roles, RolesArgs
from infra.components.aws.sandbox import Sandbox, SandboxArgs
from infra.components.aws.scaling import Scaling, ScalingArgs
from infra.components.aws.watch import Watch, WatchArgs
from infra.config import Settings
from infra.rules.shape import has_egress_proxy, sandboxes_public
from infra.targets.cloud.data import Data
from infra.targets.cloud.front import Front
from infra.targets.cloud.place import Place
from infra.targets.common import egress_environment, gateway_environment, git_hosts

WORKSPACE: Final = "/workspace"
HOME: Final = "/home/agent"

KEEPALIVE_MARGIN_SECONDS: Final = 10
"""For so much longer than the load balancer does a gateway keep a connection between two requests."""


def run_tasks(place: Place, data: Data, front: Front) -> dict[str, str]:
    settings, stack_id = place.settings, place.stack_id
    family = f"{stack_id}-sandbox"
    domain = f"{label_of(settings.stack)}.internal"
    registry = Registry(
        f"{stack_id}-images",
        RegistryArgs(
            stack_id=stack_id,
            root=place.root,
            base_image=settings.base_image,
            ca_bundle=settings.ca_bundle,
            http_proxy=settings.http_proxy,
            no_proxy=settings.no_proxy,
            slim=settings.agent != "claude",
            egress=has_egress_proxy(settings),
        ),
        place.options,
    )
    cluster = Cluster(
        f"{stack_id}-cluster",
        ClusterArgs(stack_id=stack_id, region=settings.region, family=family),
        place.options,
    )
    roles = Roles(
        f"{stack_id}-roles",
        RolesArgs(
            stack_id=stack_id,
            region=settings.region,
            account=place.account,
            partition=place.partition,
            table=data.table,
            bucket=data.bucket.arn,
            key=data.key.arn,
            secret=data.secrets.arn,
            cluster=cluster.arn,
            family=family,
            repositories={
                "gateway": [
                    image.repository for image in (registry.gateway, registry.egress) if image is not None
                ],
                "sandbox": [registry.sandbox.repository],
            },
            logs=data.logs.arns,
        ),
        place.options,
    )
    sandbox = Sandbox(
        f"{stack_id}-sandbox",
        SandboxArgs(
            stack_id=stack_id,
            family=family,
            image=registry.sandbox.digest,
            role=roles.sandbox,
            execution=roles.sandbox_execution,
            cpus=settings.sandbox_cpus,
            memory_mb=settings.sandbox_memory_mb,
            stop_seconds=settings.stop_seconds,
            env=_sandbox_env(settings, domain),
            logs=data.logs.configuration("sandbox"),
        ),
        place.options,
    )
    sandboxes = cluster.sandboxes([*data.components, *front.components, roles, sandbox])
    gateway = Gateway(
        f"{stack_id}-gateway",
        GatewayArgs(
            stack_id=stack_id,
            image=registry.gateway.digest,
            role=roles.gateway,
            execution=roles.gateway_execution,
            cluster=cluster.arn,
            cpus=settings.gateway_cpus,
            memory_mb=settings.gateway_memory_mb,
            files=settings.part_files,
            replicas=settings.gateway_replicas,
            drain_seconds=settings.drain_seconds,
            vpc_id=front.vpc.vpc_id,
            subnets=front.vpc.gateway_subnets,
            group=front.groups.gateway,
            public_ip=front.vpc.gateways_public,
            domain=domain,
            target_group=front.alb.target_group,
            env=_gateway_env(settings, data, front, cluster, sandbox),
            egress=_egress(settings, data, registry),
            secrets=data.secrets.references,
            logs=data.logs.configuration("gateway"),
            after=[*front.alb.ready, *front.components, *data.components, roles, cluster, sandboxes],
        ),
        place.options,
    )
    Scaling(
        f"{stack_id}-scaling",
        ScalingArgs(
            stack_id=stack_id,
            cluster_name=cluster.cluster_name,
            service_name=gateway.service.name,
            least=settings.gateway_replicas,
            most=settings.gateway_replicas_most,
            connections=settings.connections,
        ),
        place.options,
    )
    Watch(
        f"{stack_id}-watch",
        WatchArgs(
            stack_id=stack_id,
            region=settings.region,
            alb=front.alb.dimension,
            targets=front.alb.target_dimension,
            table_name=data.table_name,
            cluster_name=cluster.cluster_name,
            service_name=gateway.service.name,
            topic=settings.alarm_topic,
            pool=settings.pool.largest > 0,
        ),
        place.options,
    )
    return {
        "gateway": f"gateway:{registry.gateway.tag}",
        "agent": f"sandbox:{registry.sandbox.tag}",
    }


def _egress(settings: Settings, data: Data, registry: Registry) -> EgressArgs | None:
    if registry.egress is None:
        return None
    return EgressArgs(
        image=registry.egress.digest,
        memory_mb=settings.egress_memory_mb,
        upstream_proxy=settings.http_proxy,
        tunnels=settings.egress_connections,
        files=settings.part_files,
        logs=data.logs.configuration("gateway"),
    )


def _gateway_env(
    settings: Settings, data: Data, front: Front, cluster: Cluster, sandbox: Sandbox
) -> dict[str, pulumi.Input[str]]:
    public = sandboxes_public(settings)
    subnets = front.vpc.public_subnets if public else front.vpc.private_subnets
    return {
        **gateway_environment(settings),
        **(egress_environment(settings, EGRESS_PORT, egress.ADDRESS) if has_egress_proxy(settings) else {}),
        # Connections come from a few addresses of the load balancer, which bears what comes from one client.
        "VF_ADDRESS_CONNECTIONS": str(settings.connections),
        # A connection that the gateway closes while the load balancer sends a request by it is a 502.
        "VF_KEEPALIVE_SECONDS": str(settings.alb_idle_seconds + KEEPALIVE_MARGIN_SECONDS),
        # Nobody else reaches the gateways' port: their security group lets the load balancer's in alone.
        "VF_PROXY_ONLY": "true",
        "VF_METRICS": "emf",
        "VF_TABLE": data.table_name,
        "VF_ENCRYPT_WITH": settings.encrypt_with,
        "VF_KMS_ARN": data.key.arn,
        "VF_BLOBS": pulumi.Output.concat("s3://", data.bucket.bucket_name),
        "VF_DRIVER": "ecs",
        "VF_ECS_CLUSTER": cluster.arn,
        "VF_ECS_TASK_DEFINITION": sandbox.task_definition,
        "VF_ECS_SUBNETS": pulumi.Output.all(*subnets).apply(",".join),
        "VF_ECS_SECURITY_GROUPS": front.groups.sandbox,
        "VF_ECS_SPOT": str(settings.sandbox_spot).lower(),
        "VF_ECS_PUBLIC_IP": str(public).lower(),
    }


def _sandbox_env(settings: Settings, domain: str) -> dict[str, pulumi.Input[str]]:
    """As gateway/launcher/spec.py has it, but for what differs by session: that comes with RunTask."""
    return {
        "VF_AGENT": settings.agent,
        "VF_MODEL": settings.model,
        "VF_REDACT": str(settings.redact).lower(),
        "VF_HOST": "0.0.0.0",  # noqa: S104 - of a machine of its own
        "VF_PORT": str(AGENT_PORT),
        "VF_WORKSPACE": WORKSPACE,
        "VF_HOME": HOME,
        "VF_PENDING_DIR": "/run/vaporforge",
        "HOME": HOME,
        "ANTHROPIC_BASE_URL": broker_url(domain),
        "VF_GIT_HOSTS": git_hosts(settings),
        **({"VF_EGRESS_PROXY": egress_url(domain)} if has_egress_proxy(settings) else {}),
    }
