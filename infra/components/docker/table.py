"""DynamoDB Local with its data on the stack's volume."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from infra.components.docker.hardened import ContainerSpec, hardened
from infra.components.docker.limits import Limits

PORT = 8000
ALIAS = "dynamodb"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableArgs:
    """`image`: DynamoDB Local's. `volume`: where its data lies."""

    stack_id: str
    image: str
    limits: Limits
    network: docker.Network
    volume: docker.Volume


class Table(pulumi.ComponentResource):
    """The store of a stack without a table in AWS; the gateways make the table in it. `endpoint`: its URL for them."""

    endpoint: str
    container: docker.Container

    def __init__(self, name: str, args: TableArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:docker:Table", name, None, opts)
        image = docker.RemoteImage(
            f"{args.stack_id}-dynamodb-image",
            name=args.image,
            keep_locally=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        spec = ContainerSpec(
            stack_id=args.stack_id,
            role="table",
            image=image.image_id,
            image_name=args.image,
            limits=args.limits,
            networks=[(args.network, [ALIAS])],
            # Root without capabilities: it owns the volume's folder, whatever user the image has.
            user="0:0",
            # The heap leaves room for what Java and SQLite take besides; by itself Java would take a quarter.
            command=[
                f"-Xmx{args.limits.memory_mb * 6 // 10}m",
                "-jar",
                "DynamoDBLocal.jar",
                "-sharedDb",
                "-dbPath",
                "/data",
                "-disableTelemetry",
            ],
            tmpfs={"/tmp": "rw,exec,nosuid,nodev,size=64m"},  # noqa: S108 - a tmpfs of its own; SQLite's library runs from it
            healthcheck=docker.ContainerHealthcheckArgs(
                # The image has no HTTP client; that the port is open is what a gateway needs to start.
                tests=["CMD", "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{PORT}"],
                interval="2s",
                timeout="10s",
                start_period="30s",
                retries=5,
            ),
            volumes=[docker.ContainerVolumeArgs(volume_name=args.volume.name, container_path="/data")],
        )
        # Two of them on one volume would spoil it: the old one goes before the new one starts.
        self.container = hardened(
            f"{args.stack_id}-dynamodb", spec, pulumi.ResourceOptions(parent=self, delete_before_replace=True)
        )
        self.endpoint = f"http://{ALIAS}:{PORT}"
        self.register_outputs({"endpoint": self.endpoint})
