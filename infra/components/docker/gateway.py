"""The gateways: interchangeable containers that the proxy finds by one name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from infra.components.docker.hardened import ContainerSpec, hardened, told
from infra.components.docker.limits import Limits
from infra.components.docker.secret_files import SecretFiles, SecretFilesArgs
from infra.images import BuiltImage
from infra.rules.facts import STOP_MARGIN_SECONDS

ALIAS = "gateway"
PORT = 8080
BROKER_PORT = 8081
EGRESS_PORT = 3128

USER = 10002
"""The image's (gateway/Dockerfile)."""

NO_ROUTER = {"net.ipv4.ip_forward": "0"}
"""A gateway is on every sandbox's network, and leads from none to another: a container has the host's setting else."""

BLOBS = "/var/lib/vaporforge/blobs"
"""Where the snapshots of sandboxes are kept, on a volume that all gateways share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayArgs:
    """`env`: its settings (`gateway/config.py`), and `secrets` those that it gets as files. `blobs`: the volume of
    snapshots. `replicas`: how many. On the network of each sandbox the launcher puts them. `egress`: where the forward
    proxy is, if any. `drain_seconds`: how long one takes to send its streams elsewhere. `after`: what a gateway calls:
    ready before it starts, and deleted after it."""

    stack_id: str
    image: BuiltImage
    limits: Limits
    replicas: int
    drain_seconds: int
    public: docker.Network
    control: docker.Network
    egress: docker.Network | None
    blobs: docker.Volume
    env: Mapping[str, pulumi.Input[str]]
    secrets: Mapping[str, pulumi.Input[str] | None]
    docker_host: str
    after: Sequence[pulumi.Resource]


class Gateway(pulumi.ComponentResource):
    """Replaced one after another: a new one is healthy before the next is made, and all before the old ones stop."""

    containers: list[docker.Container]

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        env = {
            **args.env,
            "VF_STACK": args.stack_id,
            "VF_BLOBS": f"folder:{BLOBS}",
            "VF_PORT": str(PORT),
            "VF_BROKER_PORT": str(BROKER_PORT),
            "VF_DRAIN_SECONDS": str(args.drain_seconds),
        }
        super().__init__("vaporforge:docker:Gateway", name, told(env), opts)
        files = SecretFiles(
            SecretFilesArgs(
                stack_id=args.stack_id,
                part="gateway",
                values=args.secrets,
                owner=USER,
                image=args.image.image_id,
                ready=args.image.ready,
                docker_host=args.docker_host,
            ),
            self,
        )
        spec = ContainerSpec(
            stack_id=args.stack_id,
            role="gateway",
            image=args.image.image_id,
            image_name=args.image.name,
            limits=args.limits,
            networks=[
                *((args.public, [ALIAS]), (args.control, [ALIAS])),
                *([(args.egress, [ALIAS])] if args.egress is not None else []),
            ],
            sysctls=NO_ROUTER,
            env={**env, **files.env},
            volumes=[
                docker.ContainerVolumeArgs(volume_name=args.blobs.name, container_path=BLOBS),
                files.mount,
            ],
            tmpfs={"/tmp": "rw,noexec,nosuid,nodev,size=64m"},  # noqa: S108 - a tmpfs of its own
            grace=args.drain_seconds + STOP_MARGIN_SECONDS,
        )
        self.containers = []
        for number in range(args.replicas):
            after: list[pulumi.Resource] = [args.image.ready, *args.after, *self.containers[-1:]]
            options = pulumi.ResourceOptions(parent=self, depends_on=after, delete_before_replace=False)
            self.containers.append(hardened(f"{args.stack_id}-gateway-{number}", spec, options))
        self.register_outputs({"replicas": args.replicas})
