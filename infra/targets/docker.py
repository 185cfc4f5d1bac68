"""The `docker` target: the whole of VaporForge on one machine with a Docker engine."""

from __future__ import annotations

from pathlib import Path

import pulumi
import pulumi_docker as docker

from infra.addresses import sandbox_prefix
from infra.cleanup import SandboxContainers
from infra.components.docker.data import Data, DataArgs
from infra.components.docker.gateway import ALIAS as GATEWAY_ALIAS
from infra.components.docker.gateway import BROKER_PORT, EGRESS_PORT, Gateway, GatewayArgs
from infra.components.docker.launcher import Launcher, LauncherArgs
from infra.components.docker.limits import Limits, ProcessLimits
from infra.components.docker.machine import Machine, check_machine, machine_of, room_of, volumes_of
from infra.components.docker.networks import Networks, NetworksArgs
from infra.components.docker.proxy import EGRESS_ADDRESS, Egress, EgressArgs, Proxy, ProxyArgs
from infra.components.docker.table import Table, TableArgs
from infra.components.docker.watch import MEMORY_MB as WATCH_MEMORY_MB
from infra.components.docker.watch import Watch, WatchArgs
from infra.config import Settings
from infra.cost import capacity
from infra.generated import ACCEPTED, VARIABLES
from infra.images import Images, ImagesArgs, check_page
from infra.targets.common import (
    Deployed,
    egress_environment,
    gateway_environment,
    git_hosts,
    instance_of,
    own_secrets,
)


def deploy(settings: Settings, root: Path) -> Deployed:
    """Declare the stack's resources; with `running` false only those that hold data. Raises `ConfigError` for what the
    engine's machine cannot hold, and where the page's libraries are missing."""
    machine = machine_of(settings.docker_host) if settings.running else None
    if settings.running:
        check_page(root)
    if machine is not None:
        check_machine(settings, machine)
    options = _provider_options(settings)
    data = Data(
        f"{settings.stack_id}-data",
        DataArgs(
            stack_id=settings.stack_id,
            local_table=settings.dynamodb == "local",
            own=own_secrets(settings),
            versions=settings.versions,
            docker_host=settings.docker_host,
        ),
        options,
    )
    images = _run(settings, root, data, machine, options) if settings.running else None
    names = {} if images is None else images.names
    return Deployed(
        jwt_secret=data.secrets[VARIABLES["jwt"]],
        credential_key=data.secrets[VARIABLES["credential"]],
        instance=data.secrets[VARIABLES["sandbox"]].apply(instance_of),
        images=names,
        url=settings.url if settings.running else "",
        more={
            "capacity": capacity.on_docker(settings, None if machine is None else room_of(settings, machine))
        },
    )


def _run(
    settings: Settings, root: Path, data: Data, machine: Machine | None, options: pulumi.ResourceOptions
) -> Images:
    stack_id = settings.stack_id

    def limits(memory_mb: int) -> Limits:
        return Limits(
            memory_mb=memory_mb, files=settings.part_files, swap=machine is None or machine.limits_swap
        )

    images = Images(
        f"{stack_id}-images",
        ImagesArgs(
            stack_id=stack_id,
            root=root,
            base_image=settings.base_image,
            ca_bundle=settings.ca_bundle,
            http_proxy=settings.http_proxy,
            no_proxy=settings.no_proxy,
            slim=settings.agent != "claude",
            egress=settings.egress != "none",
            docker_host=settings.docker_host,
            platform=machine.platform if machine is not None else None,
            after=data,
        ),
        options,
    )
    networks = Networks(
        f"{stack_id}-networks",
        NetworksArgs(
            stack_id=stack_id,
            sandboxes=settings.sandbox_networks,
            egress=settings.egress != "none",
            after=data,
        ),
        options,
    )
    sandboxes = SandboxContainers(
        f"{stack_id}-sandboxes",
        stack_id=stack_id,
        scope=networks.scope,
        docker_host=settings.docker_host,
        opts=pulumi.ResourceOptions.merge(
            options, pulumi.ResourceOptions(depends_on=[data, networks, images.agent.ready])
        ),
    )
    launcher = Launcher(
        f"{stack_id}-launcher",
        LauncherArgs(
            stack_id=stack_id,
            image=images.gateway,
            limits=limits(settings.launcher_memory_mb),
            control=networks.control,
            docker_socket=settings.docker_socket,
            volumes=volumes_of(settings, machine),
            env=_launcher_env(settings, images.agent.name),
            secrets=_launcher_secrets(data),
            docker_host=settings.docker_host,
            after=sandboxes,
        ),
        options,
    )
    env = _gateway_env(settings, launcher.url)
    before: list[pulumi.Resource] = [launcher]
    containers = {"launcher": launcher.container}
    if data.volume is not None:
        table = Table(
            f"{stack_id}-table",
            TableArgs(
                stack_id=stack_id,
                image=settings.dynamodb_image,
                limits=limits(settings.table_memory_mb),
                network=networks.control,
                volume=data.volume,
            ),
            options,
        )
        before.append(table)
        containers["table"] = table.container
        env |= {"VF_DYNAMODB_ENDPOINT": table.endpoint, "VF_TABLE_CREATE": "true"}
    egress = _egress(settings, images, networks, limits(settings.egress_memory_mb), options)
    if egress is not None:
        before.append(egress)
        containers["egress"] = egress.container
    gateway = Gateway(
        f"{stack_id}-gateway",
        GatewayArgs(
            stack_id=stack_id,
            image=images.gateway,
            limits=limits(settings.gateway_memory_mb),
            replicas=settings.gateway_replicas,
            drain_seconds=settings.drain_seconds,
            public=networks.public,
            control=networks.control,
            egress=networks.egress,
            blobs=data.blobs,
            env=env,
            secrets=_gateway_secrets(settings, data),
            docker_host=settings.docker_host,
            after=before,
        ),
        options,
    )
    proxy = Proxy(
        f"{stack_id}-proxy",
        ProxyArgs(
            stack_id=stack_id,
            image=images.proxy,
            limits=limits(settings.proxy_memory_mb),
            public=networks.public,
            bind_address=settings.bind_address,
            port=settings.port,
            tls_certificate=settings.tls_certificate,
            http2=settings.http2,
            secret=data.secrets[VARIABLES["proxy"]],
            connections=settings.connections,
            address_connections=settings.address_connections,
            docker_host=settings.docker_host,
            after=gateway.containers,
        ),
        options,
    )
    watch = Watch(
        f"{stack_id}-watch",
        WatchArgs(
            stack_id=stack_id,
            image=images.proxy,
            limits=limits(WATCH_MEMORY_MB),
            bind_address=settings.bind_address,
            port=settings.port,
            after=proxy,
        ),
        options,
    )
    containers |= {f"gateway-{number}": made for number, made in enumerate(gateway.containers)}
    containers |= {"proxy": proxy.container, "watch": watch.container}
    ProcessLimits(
        f"{stack_id}-processes",
        ids={name: container.id for name, container in containers.items()},
        pids=settings.part_pids,
        docker_host=settings.docker_host,
        opts=options,
    )
    return images


def _egress(
    settings: Settings, images: Images, networks: Networks, limits: Limits, options: pulumi.ResourceOptions
) -> Egress | None:
    if images.egress is None or networks.egress is None:
        return None
    return Egress(
        f"{settings.stack_id}-egress",
        EgressArgs(
            stack_id=settings.stack_id,
            image=images.egress,
            limits=limits,
            network=networks.egress,
            upstream_proxy=settings.http_proxy,
            # Of an update's gateways, of which there are twice as many.
            tunnels=2 * settings.gateway_replicas * settings.egress_connections,
        ),
        options,
    )


def _gateway_env(settings: Settings, launcher_url: str) -> dict[str, pulumi.Input[str]]:
    return {
        **gateway_environment(settings),
        "VF_DRIVER": "docker",
        "VF_LAUNCHER_URL": launcher_url,
        "VF_SANDBOX_NETWORKS": settings.sandbox_networks,
        **egress_environment(settings, EGRESS_PORT, EGRESS_ADDRESS if settings.egress != "none" else ""),
        "VF_STORED_MB": str(settings.stored_mb),
        "VF_DISK_RESERVE_PERCENT": str(settings.disk_reserve_percent),
        "VF_TABLE": settings.dynamodb_table,
    }


def _gateway_secrets(settings: Settings, data: Data) -> dict[str, pulumi.Input[str] | None]:
    return {
        **data.secrets,
        "VF_MODEL_API_KEY": settings.model_api_key,
        # botocore's own variable for a file with both, which it reads itself.
        "AWS_SHARED_CREDENTIALS": _aws_credentials(settings),
    }


def _launcher_secrets(data: Data) -> dict[str, pulumi.Input[str] | None]:
    """It makes sandboxes' tokens, and checks none."""
    accepted = VARIABLES["launcher"] + ACCEPTED
    names = (VARIABLES["launcher"], accepted, VARIABLES["sandbox"])
    return {name: data.secrets[name] for name in names if name in data.secrets}


def _aws_credentials(settings: Settings) -> pulumi.Output[str] | None:
    """None where none are set: DynamoDB Local takes any, and the gateways have some for it."""
    if settings.aws_access_key_id is None or settings.aws_secret_access_key is None:
        return None
    return pulumi.Output.all(settings.aws_access_key_id, settings.aws_secret_access_key).apply(
        lambda keys: f"[default]\naws_access_key_id = {keys[0]}\naws_secret_access_key = {keys[1]}\n"
    )


def _launcher_env(settings: Settings, agent_image: str) -> dict[str, pulumi.Input[str]]:
    return {
        "VF_SANDBOX_IMAGE": agent_image,
        "VF_SANDBOX_NETWORKS": settings.sandbox_networks,
        "VF_SANDBOX_NETWORK_PREFIX": str(sandbox_prefix(settings.gateway_replicas)),
        "VF_EGRESS_PROXY": "" if settings.egress == "none" else f"http://{GATEWAY_ALIAS}:{EGRESS_PORT}",
        "VF_GIT_HOSTS": git_hosts(settings),
        "VF_SANDBOX_MEMORY_MB": str(settings.sandbox_memory_mb),
        "VF_SANDBOX_CPUS": str(settings.sandbox_cpus),
        "VF_SANDBOX_PIDS": str(settings.sandbox_pids),
        "VF_SANDBOX_DISK_MB": str(settings.sandbox_disk_mb),
        "VF_SANDBOX_INODES": str(settings.sandbox_inodes),
        "VF_DISK_RESERVE_PERCENT": str(settings.disk_reserve_percent),
        "VF_SANDBOX_RUNTIME": settings.sandbox_runtime,
        "VF_BROKER_URL": f"http://{GATEWAY_ALIAS}:{BROKER_PORT}",
        "VF_AGENT": settings.agent,
        "VF_MODEL": settings.model,
        "VF_REDACT": str(settings.redact).lower(),
        "VF_LOG_LEVEL": settings.log_level,
    }


def _provider_options(settings: Settings) -> pulumi.ResourceOptions:
    if not settings.docker_host:
        return pulumi.ResourceOptions()
    provider = docker.Provider(f"{settings.stack_id}-engine", host=settings.docker_host)
    return pulumi.ResourceOptions(providers={"docker": provider})
