"""The key that table, snapshots, secrets and logs are encrypted with: the stack's own, so that it can be taken away."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.components.aws.names import kept, tags_of


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyArgs:
    """`account`, `partition`: where the stack is."""

    stack_id: str
    region: str
    account: pulumi.Input[str]
    partition: pulumi.Input[str]
    protect: bool


class Key(pulumi.ComponentResource):
    """Changed every year by KMS, which keeps the old ones for reading."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: KeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:aws:Key", name, None, opts)
        account = pulumi.Output.concat("arn:", args.partition, ":iam::", args.account, ":root")
        groups = pulumi.Output.concat("arn:", args.partition, f":logs:{args.region}:", args.account, ":*")
        self.arn = aws.kms.Key(
            f"{args.stack_id}-key",
            description=f"Data of {args.stack_id}",
            enable_key_rotation=True,
            deletion_window_in_days=30 if args.protect else 7,
            policy=pulumi.Output.json_dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        # Who may use it, policies of the account say: without this nobody could mend the key.
                        {
                            "Effect": "Allow",
                            "Principal": {"AWS": account},
                            "Action": "kms:*",
                            "Resource": "*",
                        },
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": f"logs.{args.region}.amazonaws.com"},
                            "Action": [
                                "kms:Encrypt",
                                "kms:Decrypt",
                                "kms:ReEncrypt*",
                                "kms:GenerateDataKey*",
                                "kms:Describe*",
                            ],
                            "Resource": "*",
                            "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
                        },
                    ],
                }
            ),
            tags=tags_of(args.stack_id, "key"),
            opts=kept(self, args.protect),
        ).arn
        self.register_outputs({})
