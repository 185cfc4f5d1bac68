"""The watch: a container on the engine's own network whose health is that of the published port."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from infra.components.docker.hardened import ContainerSpec, hardened
from infra.components.docker.limits import Limits
from infra.config import WILDCARD
from infra.images import BuiltImage

MEMORY_MB = 64
"""It sleeps, and asks once in ten seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchArgs:
    """`image`: the proxy's. `bind_address`, `port`: where the proxy is published. `after`: the proxy."""

    stack_id: str
    image: BuiltImage
    limits: Limits
    bind_address: str
    port: int
    after: pulumi.Resource


class Watch(pulumi.ComponentResource):
    """On a loopback address the engine forwards a published port by a process of its own; when that dies, every
    container stays healthy and nobody gets in. This one asks from outside, as a browser on this machine would; the
    launcher reads its health and restarts the proxy. It holds no secret, and nothing in it listens."""

    container: docker.Container

    def __init__(self, name: str, args: WatchArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:docker:Watch", name, None, opts)
        address = args.bind_address
        if address in WILDCARD:
            address = "::1" if ":" in address else "127.0.0.1"
        spec = ContainerSpec(
            stack_id=args.stack_id,
            role="watch",
            image=args.image.image_id,
            image_name=args.image.name,
            limits=args.limits,
            networks=[],
            network_mode="host",
            command=["sleep", "infinity"],
            healthcheck=docker.ContainerHealthcheckArgs(
                tests=["CMD", "answers", address, str(args.port)],
                interval="10s",
                timeout="6s",
                start_period="20s",
                retries=3,
            ),
            # An engine in a virtual machine publishes its ports outside of it: there it is never healthy, without harm.
            waited=False,
            grace=1,
        )
        options = pulumi.ResourceOptions(parent=self, depends_on=[args.image.ready, args.after])
        self.container = hardened(f"{args.stack_id}-watch", spec, options)
        self.register_outputs({"port": args.port})
