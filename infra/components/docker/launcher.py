"""The launcher: the one container that holds the engine's socket, and starts sandboxes for the gateways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from infra.components.docker.hardened import ContainerSpec, hardened, told
from infra.components.docker.limits import Limits
from infra.components.docker.secret_files import SecretFiles, SecretFilesArgs
from infra.images import BuiltImage

ALIAS = "launcher"
PORT = 8090

VOLUMES = "/volumes"
"""Where the launcher sees the engine's folder of volumes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherArgs:
    """`env`: what the stack says of sandboxes, and `secrets` what of it comes as files. `docker_socket`: the engine's,
    on its own machine. `volumes`: the folder of its volumes there, which the launcher looks at; empty: it does not.
    `after`: what it must be deleted before: the sandboxes that it would start again."""

    stack_id: str
    image: BuiltImage
    limits: Limits
    control: docker.Network
    docker_socket: str
    volumes: str
    env: Mapping[str, pulumi.Input[str]]
    secrets: Mapping[str, pulumi.Input[str] | None]
    docker_host: str
    after: pulumi.Resource


class Launcher(pulumi.ComponentResource):
    """Reachable from the control network only; no port of it is published. `url`: where the gateways call it."""

    url: str
    container: docker.Container

    def __init__(self, name: str, args: LauncherArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        env = {
            **args.env,
            "VF_STACK": args.stack_id,
            "VF_PORT": str(PORT),
            "VF_DISK_FOLDER": VOLUMES if args.volumes else "",
            "VF_HEALTH_URL": f"http://127.0.0.1:{PORT}/ping",
        }
        super().__init__("vaporforge:docker:Launcher", name, told(env), opts)
        files = SecretFiles(
            SecretFilesArgs(
                stack_id=args.stack_id,
                part="launcher",
                values=args.secrets,
                owner=0,
                image=args.image.image_id,
                ready=args.image.ready,
                docker_host=args.docker_host,
            ),
            self,
        )
        spec = ContainerSpec(
            stack_id=args.stack_id,
            role="launcher",
            image=args.image.image_id,
            image_name=args.image.name,
            limits=args.limits,
            networks=[(args.control, [ALIAS])],
            env={**env, **files.env},
            command=["python", "-m", "gateway.launcher"],
            # The socket is root's; without capabilities being root means nothing more than that. A sandbox's folders
            # are another user's and may be closed to all: to count what is in them it may look into any.
            capabilities=["CAP_DAC_READ_SEARCH"] if args.volumes else [],
            user="0:0",
            tmpfs={"/tmp": "rw,noexec,nosuid,nodev,size=16m"},  # noqa: S108 - a tmpfs of its own
            volumes=[
                docker.ContainerVolumeArgs(
                    host_path=args.docker_socket, container_path="/var/run/docker.sock"
                ),
                files.mount,
                *(
                    [
                        docker.ContainerVolumeArgs(
                            host_path=args.volumes, container_path=VOLUMES, read_only=True
                        )
                    ]
                    if args.volumes
                    else []
                ),
            ],
        )
        options = pulumi.ResourceOptions(
            parent=self, depends_on=[args.image.ready, args.after], delete_before_replace=False
        )
        self.container = hardened(f"{args.stack_id}-launcher", spec, options)
        self.url = f"http://{ALIAS}:{PORT}"
        self.register_outputs({"url": self.url})
