"""The labels that say which stack, and which part of it, a container, network or volume belongs to."""

from __future__ import annotations

import pulumi_docker as docker

STACK = "vaporforge.stack"
ROLE = "vaporforge.role"


def container_labels(stack_id: str, role: str, image: str = "") -> list[docker.ContainerLabelArgs]:
    """`image`: the image's name; it makes a preview show that a container is replaced when its image is."""
    labels = {STACK: stack_id, ROLE: role, **({"vaporforge.image": image} if image else {})}
    return [docker.ContainerLabelArgs(label=label, value=value) for label, value in labels.items()]


def network_labels(stack_id: str, role: str) -> list[docker.NetworkLabelArgs]:
    """The labels of a network."""
    return [
        docker.NetworkLabelArgs(label=key, value=value) for key, value in ((STACK, stack_id), (ROLE, role))
    ]


def volume_labels(stack_id: str, role: str) -> list[docker.VolumeLabelArgs]:
    """The labels of a volume."""
    return [
        docker.VolumeLabelArgs(label=key, value=value) for key, value in ((STACK, stack_id), (ROLE, role))
    ]
