"""What outlives the containers of a stack: its table's volume, its sessions' volumes and snapshots, and its secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from infra.cleanup import SessionVolumes
from infra.components.docker.labels import volume_labels
from infra.generated import GeneratedSecrets, Version


@dataclass(frozen=True, slots=True, kw_only=True)
class DataArgs:
    """`local_table`: whether the table's data lies on this engine. `own`: secrets by name, where whoever deploys has
    set one. `versions`: which version of each secret is used."""

    stack_id: str
    local_table: bool
    own: Mapping[str, pulumi.Output[str] | None]
    versions: Mapping[str, Version]
    docker_host: str


class Data(pulumi.ComponentResource):
    """Kept by `scripts/down`, deleted by `pulumi destroy`. `secrets`: by the variable that a part is told each as, all
    of them secret outputs.

    Not made where another deployment has the stack's name; what depends on this is not made there either."""

    volume: docker.Volume | None
    blobs: docker.Volume
    secrets: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, args: DataArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:docker:Data", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        made = GeneratedSecrets(f"{args.stack_id}-secrets", child, args.versions)
        sessions = SessionVolumes(
            f"{args.stack_id}-sessions", stack_id=args.stack_id, docker_host=args.docker_host, opts=child
        )
        volumes = pulumi.ResourceOptions(parent=self, depends_on=[sessions])
        self.volume = None
        if args.local_table:
            self.volume = docker.Volume(
                f"{args.stack_id}-table", labels=volume_labels(args.stack_id, "table"), opts=volumes
            )
        self.blobs = docker.Volume(
            f"{args.stack_id}-blobs", labels=volume_labels(args.stack_id, "blobs"), opts=volumes
        )
        self.secrets = made.told(args.own)
        self.register_outputs({})
