"""A part's secrets as files on a volume of its own, and the variables that name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from infra.own import StackResource

FOLDER = "/run/secrets"
"""Where a container finds them, each by its variable in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretFilesArgs:
    """`values`: by the variable whose `_FILE` names the file; one that is None is left out. `owner`: the uid that the
    container has. `image`, `ready`: the container's own, on the engine. `docker_host`: empty is the environment's."""

    stack_id: str
    part: str
    values: Mapping[str, pulumi.Input[str] | None]
    owner: int
    image: pulumi.Input[str]
    ready: pulumi.Resource
    docker_host: str


class SecretFiles(StackResource):
    """Other values are another volume, so that a container which has the old ones is replaced as for a new image.
    `env`: what the container is told, paths alone. `mount`: where it finds them."""

    volume: pulumi.Output[str]
    env: dict[str, pulumi.Input[str]]
    mount: docker.ContainerVolumeArgs

    def __init__(self, args: SecretFilesArgs, parent: pulumi.Resource) -> None:
        values = {name: value for name, value in sorted(args.values.items()) if value is not None}
        files = {name.lower(): pulumi.Output.secret(value) for name, value in values.items()}
        props = {
            "stack": args.stack_id,
            "part": args.part,
            "files": files,
            "owner": args.owner,
            "image": args.image,
            "dockerHost": args.docker_host,
            "volume": None,
        }
        options = pulumi.ResourceOptions(parent=parent, depends_on=[args.ready], delete_before_replace=False)
        super().__init__("SecretFiles", f"{args.stack_id}-{args.part}-secrets", props, options)
        self.env = {file_variable(name): f"{FOLDER}/{name.lower()}" for name in values}
        self.mount = docker.ContainerVolumeArgs(
            volume_name=self.volume, container_path=FOLDER, read_only=True
        )


def file_variable(name: str) -> str:
    """The variable that names the file of `name`."""
    return f"{name}_FILE"
