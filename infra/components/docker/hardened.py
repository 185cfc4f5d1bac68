"""A container as every part of a stack gets it: no capabilities, a read-only file system, bounded logs and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_docker as docker

from infra.components.docker.labels import container_labels
from infra.components.docker.limits import Limits

HEALTHY_SECONDS = 300
"""Limit for a container to become healthy. It is a limit and no delay: a busy machine takes its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """What differs between the parts. `networks`: network and the names that it is known by there. `env`: empty values
    are left out. `user`: empty is the image's. `healthcheck`: None is the image's; it is waited for.
    `grace`: seconds that it gets to stop. `network_mode`: in place of networks. `waited`: until it is healthy.
    `capabilities`: those of root's that it keeps. `sysctls`: of its own network."""

    stack_id: str
    role: str
    image: pulumi.Input[str]
    image_name: str
    networks: Sequence[tuple[docker.Network, Sequence[str]]]
    limits: Limits
    env: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    command: Sequence[str] = ()
    user: str = ""
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    volumes: Sequence[docker.ContainerVolumeArgs] = ()
    ports: Sequence[docker.ContainerPortArgs] = ()
    working_dir: str = ""
    healthcheck: docker.ContainerHealthcheckArgs | None = None
    grace: int = 10
    network_mode: str = ""
    waited: bool = True
    sysctls: Mapping[str, str] = field(default_factory=dict)
    capabilities: Sequence[str] = ()


def hardened(name: str, spec: ContainerSpec, opts: pulumi.ResourceOptions) -> docker.Container:
    """The container resource of `spec`."""
    return docker.Container(
        name,
        image=spec.image,
        command=list(spec.command) or None,
        envs=environment(spec.env),
        user=spec.user or None,
        working_dir=spec.working_dir or None,
        labels=container_labels(spec.stack_id, spec.role, spec.image_name),
        networks_advanced=[
            docker.ContainerNetworksAdvancedArgs(name=network.name, aliases=list(aliases))
            for network, aliases in spec.networks
        ]
        or None,
        network_mode=spec.network_mode or None,
        ports=list(spec.ports) or None,
        volumes=list(spec.volumes) or None,
        tmpfs=dict(spec.tmpfs) or None,
        sysctls=dict(spec.sysctls) or None,
        privileged=False,
        read_only=True,
        capabilities=docker.ContainerCapabilitiesArgs(adds=list(spec.capabilities) or None, drops=["ALL"]),
        security_opts=["no-new-privileges:true"],
        log_driver="json-file",
        log_opts={"max-size": "10m", "max-file": "3"},
        # Also for one that the kernel has killed for its memory.
        restart="unless-stopped",
        healthcheck=spec.healthcheck,
        wait=spec.waited,
        wait_timeout=HEALTHY_SECONDS,
        stop_timeout=spec.grace,
        destroy_grace_seconds=spec.grace,
        opts=opts,
        **spec.limits.arguments(),
    )


def told(env: Mapping[str, pulumi.Input[str]]) -> dict[str, Any]:
    """Inputs for the component of a part: its plain settings by name. A container's own are one list with secrets in
    it, of which a preview shows places and no names."""
    return {
        "settings": {key: value for key, value in sorted(env.items()) if isinstance(value, str) and value}
    }


def environment(env: Mapping[str, pulumi.Input[str]]) -> list[pulumi.Input[str]]:
    """`KEY=value` for each that is not the empty string, in the order of their keys."""
    return [
        f"{key}={value}" if isinstance(value, str) else pulumi.Output.concat(key, "=", value)
        for key, value in sorted(env.items())
        if not (isinstance(value, str) and value == "")
    ]
