"""The images of a stack: built where it deploys, named by the hash of what goes into them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_docker as docker

from infra.cleanup import ImageTag
from infra.content import content_hash

HERE = Path(__file__).resolve().parent
"""The program's folder, to which the docker provider's relative paths relate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesArgs:
    """`root`: the folder that holds gateway/, container/ and infra/. `slim`: leave the real agent's binary out.
    `after`: what must be there before anything gets the stack's name."""

    stack_id: str
    root: Path
    base_image: str
    ca_bundle: str
    slim: bool
    docker_host: str
    after: pulumi.Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """`name`: repository and tag, known at preview. `image_id`: what a container is started from.
    `ready`: what a container must depend on, so that it goes before the image's name does."""

    name: str
    image_id: pulumi.Output[str]
    ready: pulumi.Resource


class Images(pulumi.ComponentResource):
    """The gateway's image (also the launcher's), the agent's and the proxy's."""

    gateway: BuiltImage
    agent: BuiltImage
    proxy: BuiltImage

    def __init__(self, name: str, args: ImagesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:docker:Images", name, None, opts)
        shared = {"BASE": args.base_image, "CA_CERTS": args.ca_bundle}
        requirements = "requirements.txt" if args.slim else "requirements-claude.txt"
        self.gateway = self._build(args, "gateway", ".", "gateway/Dockerfile", shared)
        self.agent = self._build(
            args, "agent", "container", "container/Dockerfile", {**shared, "REQUIREMENTS": requirements}
        )
        self.proxy = self._build(args, "proxy", "infra/proxy", "infra/proxy/Dockerfile", shared)
        self.register_outputs(
            {"gateway": self.gateway.name, "agent": self.agent.name, "proxy": self.proxy.name}
        )

    def _build(
        self, args: ImagesArgs, part: str, context: str, dockerfile: str, build_args: dict[str, str]
    ) -> BuiltImage:
        digest = content_hash(args.root / context, args.root / dockerfile, build_args)
        image_name = f"{args.stack_id}/{part}:{digest[:12]}"
        image = docker.Image(
            f"{args.stack_id}-{part}",
            image_name=image_name,
            build=docker.DockerBuildArgs(
                context=_relative(args.root / context),
                dockerfile=_relative(args.root / dockerfile),
                args=build_args,
                builder_version=docker.BuilderVersion.BUILDER_BUILD_KIT,
            ),
            skip_push=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.after]),
        )
        tag = ImageTag(
            f"{args.stack_id}-{part}-tag",
            image=image_name,
            docker_host=args.docker_host,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[image]),
        )
        return BuiltImage(name=image_name, image_id=image.repo_digest, ready=tag)


def _relative(path: Path) -> str:
    # Relative, because the provider compares inputs literally: a clone elsewhere must not look like a change.
    return os.path.relpath(path, HERE)
