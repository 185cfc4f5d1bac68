"""The gateway's secrets in Secrets Manager; tasks are given them by ECS, by name and version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.components.aws.names import kept, tags_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsArgs:
    """`values`: secrets by the variable that a gateway finds them in. `key`: an ARN."""

    stack_id: str
    values: Mapping[str, pulumi.Output[str]]
    key: pulumi.Input[str]
    protect: bool


class Secrets(pulumi.ComponentResource):
    """`references`: by variable, what a container's definition names in a secret's place. They have the version: a
    changed secret is another task definition, so that gateways are replaced one after another and agree."""

    arn: pulumi.Output[str]
    references: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, args: SecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:aws:Secrets", name, None, opts)
        secret = aws.secretsmanager.Secret(
            f"{args.stack_id}-gateway",
            description=f"What the gateways of {args.stack_id} know",
            kms_key_id=args.key,
            recovery_window_in_days=30 if args.protect else 0,
            tags=tags_of(args.stack_id, "secrets"),
            opts=kept(self, args.protect),
        )
        text: pulumi.Output[str] = pulumi.Output.secret(pulumi.Output.json_dumps(dict(args.values)))
        version = aws.secretsmanager.SecretVersion(
            f"{args.stack_id}-gateway",
            secret_id=secret.id,
            secret_string=text,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=args.protect),
        )
        self.arn = secret.arn
        self.references = {
            # arn:json-key:version-stage:version-id (ECS, "Pass Secrets Manager secrets through environment variables").
            variable: pulumi.Output.concat(secret.arn, f":{variable}::", version.version_id)
            for variable in args.values
        }
        self.register_outputs({})
