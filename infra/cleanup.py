"""What a stack leaves besides Pulumi's resources: `infra/plugin/stack` takes it away too.

Sandboxes and their volumes are made by the launcher or the gateways, and the provider of images deletes none. Each
resource here stands for one of these kinds, so that Pulumi's order of deletion holds for them too.
"""

from __future__ import annotations

import pulumi

from infra.own import StackResource


class SandboxContainers(StackResource):
    """The sandboxes of a stack with the network of each: deleted with it, after the launcher and before the stack's own
    networks, together with the images of earlier agents.

    `scope`: what networks they are on; another one means other containers."""

    def __init__(
        self,
        name: str,
        *,
        stack_id: str,
        scope: pulumi.Input[str],
        docker_host: str,
        opts: pulumi.ResourceOptions,
    ) -> None:
        props = {"stack": stack_id, "scope": scope, "dockerHost": docker_host}
        super().__init__("SandboxContainers", name, props, opts)


class SessionVolumes(StackResource):
    """The volumes of every session of a stack, and what is left of its images: deleted with it.

    What the engine has of the stack is found by its name alone, and two deployments of one name would delete each
    other's data. So this is made before all the rest, only where nothing has the name yet, and is never replaced."""

    def __init__(self, name: str, *, stack_id: str, docker_host: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("SessionVolumes", name, {"stack": stack_id, "dockerHost": docker_host}, opts)


class ImageTag(StackResource):
    """An image's name on the engine: a changed one replaces it, and the old name goes once nothing runs on it."""

    def __init__(
        self, name: str, *, image: pulumi.Input[str], docker_host: str, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("ImageTag", name, {"image": image, "dockerHost": docker_host}, opts)


class SandboxTasks(StackResource):
    """The sandboxes of a stack in an ECS cluster: stopped with it, after the gateways and before the cluster, its
    roles and its network, which AWS keeps as long as a task uses them.

    `cluster`: an ARN; another one means other tasks. `family`: of their task definitions."""

    def __init__(
        self,
        name: str,
        *,
        cluster: pulumi.Input[str],
        family: str,
        region: str,
        opts: pulumi.ResourceOptions,
    ) -> None:
        props = {"cluster": cluster, "family": family, "region": region}
        super().__init__("SandboxTasks", name, props, opts)
