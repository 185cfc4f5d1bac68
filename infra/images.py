"""The images of a stack: built where it deploys, named by the hash of what goes into them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_docker as docker

from infra.cleanup import ImageTag
from infra.content import EPOCH, content_hash
from infra.values import ConfigError

HERE = Path(__file__).resolve().parent
"""The program's folder, to which the docker provider's relative paths relate."""


VENDOR = "gateway/static/vendor"

LIBRARIES = ("highlight.js", "marked.js", "purify.js", "xterm.js", "xterm.css")
"""Of the page, beside the repository's own files: gateway/Dockerfile asks for them too, minutes later."""


def check_page(root: Path) -> None:
    """Raises `ConfigError` when the page's libraries are not there."""
    for name in LIBRARIES:
        if not present(root / VENDOR / name):
            raise ConfigError(f"{VENDOR}/{name} is missing: run scripts/setup page, then this again")


def present(file: Path) -> bool:
    """Whether there is such a file, with something in it."""
    return file.is_file() and file.stat().st_size > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesArgs:
    """`root`: the folder that holds gateway/, container/ and infra/. `slim`: leave the real agent's binary out.
    `egress`: with the forward proxy's.
    `platform`: the engine's own, None where it does not tell. `after`: what must be there before anything gets the
    stack's name."""

    stack_id: str
    root: Path
    base_image: str
    ca_bundle: str
    http_proxy: str
    no_proxy: str
    slim: bool
    egress: bool
    docker_host: str
    platform: str | None
    after: pulumi.Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """`name`: repository and tag, known at preview. `image_id`: what a container is started from.
    `ready`: what a container must depend on, so that it goes before the image's name does."""

    name: str
    image_id: pulumi.Output[str]
    ready: pulumi.Resource


class Images(pulumi.ComponentResource):
    """The gateway's image (also the launcher's), the agent's, the proxy's, and the forward proxy's if any."""

    gateway: BuiltImage
    agent: BuiltImage
    proxy: BuiltImage
    egress: BuiltImage | None

    def __init__(self, name: str, args: ImagesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:docker:Images", name, None, opts)
        base = {"BASE": args.base_image, "SOURCE_DATE_EPOCH": EPOCH}
        shared = {**base, "CA_CERTS": args.ca_bundle}
        requirements = "requirements.txt" if args.slim else "requirements-claude.txt"
        self.gateway = self._build(args, "gateway", ".", "gateway/Dockerfile", shared)
        self.agent = self._build(
            args, "agent", "container", "container/Dockerfile", {**shared, "REQUIREMENTS": requirements}
        )
        self.proxy = self._build(args, "proxy", "infra/proxy", "infra/proxy/Dockerfile", base)
        self.egress = None
        if args.egress:
            self.egress = self._build(args, "egress", "infra/egress", "infra/egress/Dockerfile", shared)
        self.register_outputs(self.names)

    @property
    def names(self) -> dict[str, str]:
        """Image names by part."""
        made = {"gateway": self.gateway, "agent": self.agent, "proxy": self.proxy, "egress": self.egress}
        return {part: image.name for part, image in made.items() if image is not None}

    def _build(
        self, args: ImagesArgs, part: str, context: str, dockerfile: str, build_args: dict[str, str]
    ) -> BuiltImage:
        digest = content_hash(args.root / context, args.root / dockerfile, build_args)
        image_name = f"{args.stack_id}/{part}:{digest[:12]}"
        image = docker.Image(
            f"{args.stack_id}-{part}",
            image_name=image_name,
            build=docker.DockerBuildArgs(
                context=relative(args.root / context),
                dockerfile=relative(args.root / dockerfile),
                # Not in the name: what is built is the same whichever way its packages come.
                args={**build_args, **proxy_args(args.http_proxy, args.no_proxy)},
                # The engine's and not that of the machine that asks it, which the provider would take, and say so.
                platform=args.platform,
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


def proxy_args(http_proxy: str, no_proxy: str) -> dict[str, str]:
    """What BuildKit hands to a build's commands and keeps out of the image; programs differ in which case they read."""
    values = {"http_proxy": http_proxy, "https_proxy": http_proxy, "no_proxy": no_proxy}
    return {
        spelled: value
        for name, value in values.items()
        if http_proxy and value
        for spelled in (name, name.upper())
    }


def relative(path: Path) -> str:
    """A path as the docker provider takes it."""
    # Relative, because the provider compares inputs literally: a clone elsewhere must not look like a change.
    return os.path.relpath(path, HERE)
