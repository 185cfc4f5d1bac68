"""The proxies: the one published port in front of the gateways, and the one by which sandboxes reach out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from infra.components.docker.hardened import ContainerSpec, hardened, told
from infra.components.docker.limits import Limits
from infra.components.docker.secret_files import SecretFiles, SecretFilesArgs
from infra.images import BuiltImage

PORT = 8080

EGRESS_ALIAS = "egress"
EGRESS_ADDRESS = f"{EGRESS_ALIAS}:4750"
"""Where gateways find the forward proxy."""

USER = 1000
"""The image's (infra/proxy/Dockerfile)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyArgs:
    """`tls_certificate`: certificate chain and key as PEM, or None for plain HTTP; `http2`: whether it then speaks
    HTTP/2, too. `secret`: what the gateways know it by. `connections`: clients at once, and `address_connections` of
    one address. `after`: the gateways."""

    stack_id: str
    image: BuiltImage
    limits: Limits
    public: docker.Network
    bind_address: str
    port: int
    secret: pulumi.Output[str]
    connections: int
    address_connections: int
    tls_certificate: pulumi.Output[str] | None
    http2: bool
    docker_host: str
    after: Sequence[pulumi.Resource]


class Proxy(pulumi.ComponentResource):
    """HAProxy; it follows the gateways through the network's DNS, so neither their replacement nor their number
    touches it."""

    container: docker.Container

    def __init__(self, name: str, args: ProxyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        env = {
            "VF_HTTP2": "true" if args.http2 else "",
            "VF_CONNECTIONS": str(args.connections),
            "VF_MEMORY_MB": str(args.limits.memory_mb),
            "VF_ADDRESS_CONNECTIONS": str(args.address_connections),
        }
        super().__init__("vaporforge:docker:Proxy", name, told(env), opts)
        files = SecretFiles(
            SecretFilesArgs(
                stack_id=args.stack_id,
                part="proxy",
                values={"VF_TLS_CERTIFICATE": args.tls_certificate, "VF_PROXY_SECRET": args.secret},
                owner=USER,
                image=args.image.image_id,
                ready=args.image.ready,
                docker_host=args.docker_host,
            ),
            self,
        )
        spec = ContainerSpec(
            stack_id=args.stack_id,
            role="proxy",
            image=args.image.image_id,
            image_name=args.image.name,
            limits=args.limits,
            networks=[(args.public, ["proxy"])],
            env={**env, **files.env},
            volumes=[files.mount],
            tmpfs={"/run/proxy": "rw,noexec,nosuid,nodev,size=1m,mode=0700,uid=1000,gid=1000"},
            ports=[
                docker.ContainerPortArgs(
                    internal=PORT, external=args.port, ip=args.bind_address, protocol="tcp"
                )
            ],
        )
        # Two containers cannot publish one port: the old one goes first. A new image does this, and any input that a
        # container cannot change while it runs.
        options = pulumi.ResourceOptions(
            parent=self, depends_on=[args.image.ready, *args.after], delete_before_replace=True
        )
        self.container = hardened(f"{args.stack_id}-proxy", spec, options)
        self.register_outputs({"port": args.port})


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressArgs:
    """`upstream_proxy`: a company's own, or empty. `tunnels`: the most at once."""

    stack_id: str
    image: BuiltImage
    limits: Limits
    network: docker.Network
    upstream_proxy: str
    tunnels: int


class Egress(pulumi.ComponentResource):
    """The forward proxy of sandboxes' egress, smokescreen, on a network with a way out that gateways alone share: it
    alone resolves names, and goes to no address that is not public."""

    container: docker.Container

    def __init__(self, name: str, args: EgressArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        env = {"VF_UPSTREAM_PROXY": args.upstream_proxy, "VF_TUNNELS": str(args.tunnels)}
        super().__init__("vaporforge:docker:Egress", name, told(env), opts)
        spec = ContainerSpec(
            stack_id=args.stack_id,
            role="egress",
            image=args.image.image_id,
            image_name=args.image.name,
            limits=args.limits,
            networks=[(args.network, [EGRESS_ALIAS])],
            env=env,
        )
        # A new one is healthy before the old one goes: gateways ask either by its name.
        options = pulumi.ResourceOptions(
            parent=self, depends_on=[args.image.ready], delete_before_replace=False
        )
        self.container = hardened(f"{args.stack_id}-egress", spec, options)
        self.register_outputs({"address": EGRESS_ADDRESS})
