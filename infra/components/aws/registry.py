"""The images of a stack in ECR: built by a Docker engine, pushed under the hash of their content, used by digest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi
import pulumi_aws as aws
import pulumi_docker as docker

from infra.components.aws.names import tags_of
from infra.content import EPOCH, content_hash
from infra.images import proxy_args, relative

PLATFORM: Final = "linux/amd64"
"""What the task definitions ask Fargate for (`X86_64`)."""

KEPT_IMAGES: Final = 30
"""Of each repository: what a running task definition names is among them, and whoever rolls back finds the layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryArgs:
    """As `infra.images.ImagesArgs`."""

    stack_id: str
    root: Path
    base_image: str
    ca_bundle: str
    http_proxy: str
    no_proxy: str
    slim: bool
    egress: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedImage:
    """`repository`: its ARN. `digest`: repository and digest, what a task is started from. `tag`: of its content."""

    repository: pulumi.Output[str]
    digest: pulumi.Output[str]
    tag: str


class Registry(pulumi.ComponentResource):
    """A repository for each image."""

    gateway: PushedImage
    sandbox: PushedImage
    egress: PushedImage | None

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:aws:Registry", name, None, opts)
        self._args = args
        self._token = aws.ecr.get_authorization_token_output(opts=pulumi.InvokeOutputOptions(parent=self))
        shared = {"BASE": args.base_image, "CA_CERTS": args.ca_bundle, "SOURCE_DATE_EPOCH": EPOCH}
        requirements = "requirements.txt" if args.slim else "requirements-claude.txt"
        self.gateway = self._push("gateway", ".", "gateway/Dockerfile", shared)
        self.sandbox = self._push(
            "sandbox", "container", "container/Dockerfile", {**shared, "REQUIREMENTS": requirements}
        )
        self.egress = (
            self._push("egress", "infra/egress", "infra/egress/Dockerfile", shared) if args.egress else None
        )
        self.register_outputs({"gateway": self.gateway.tag, "sandbox": self.sandbox.tag})

    def _push(self, part: str, context: str, dockerfile: str, build_args: dict[str, str]) -> PushedImage:
        args = self._args
        repository = self._repository(part)
        tag = content_hash(args.root / context, args.root / dockerfile, build_args)[:12]
        image = docker.Image(
            f"{args.stack_id}-{part}",
            image_name=pulumi.Output.concat(repository.repository_url, ":", tag),
            build=docker.DockerBuildArgs(
                context=relative(args.root / context),
                dockerfile=relative(args.root / dockerfile),
                args={**build_args, **proxy_args(args.http_proxy, args.no_proxy)},
                platform=PLATFORM,
                builder_version=docker.BuilderVersion.BUILDER_BUILD_KIT,
            ),
            registry=docker.RegistryArgs(
                server=repository.repository_url,
                username=self._token.user_name,
                password=pulumi.Output.secret(self._token.password),
            ),
            skip_push=False,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return PushedImage(repository=repository.arn, digest=image.repo_digest, tag=tag)

    def _repository(self, part: str) -> aws.ecr.Repository:
        args = self._args
        repository = aws.ecr.Repository(
            f"{args.stack_id}-{part}",
            # What runs is named by digest; a tag is pushed again where a state or an image was lost.
            image_tag_mutability="MUTABLE",
            image_scanning_configuration=aws.ecr.RepositoryImageScanningConfigurationArgs(scan_on_push=True),
            encryption_configurations=[
                aws.ecr.RepositoryEncryptionConfigurationArgs(encryption_type="AES256")
            ],
            # Images are no data: a protected stack, too, that is stopped or destroyed builds them again.
            force_delete=True,
            tags=tags_of(args.stack_id, part),
            opts=pulumi.ResourceOptions(parent=self),
        )
        aws.ecr.LifecyclePolicy(
            f"{args.stack_id}-{part}",
            repository=repository.name,
            policy=json.dumps(
                {
                    "rules": [
                        {
                            "rulePriority": 1,
                            "description": "Images of updates long past",
                            "selection": {
                                "tagStatus": "any",
                                "countType": "imageCountMoreThan",
                                "countNumber": KEPT_IMAGES,
                            },
                            "action": {"type": "expire"},
                        }
                    ]
                }
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return repository
