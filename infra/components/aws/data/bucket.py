"""The bucket of snapshots and large bodies: private, encrypted, versioned, and cleaned of what nobody asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from infra.components.aws.names import BUCKET_LETTERS, kept, short, tags_of

OLD_DAYS: Final = 7
"""How long a snapshot can be had back after it was replaced, or its session deleted."""

UPLOAD_DAYS: Final = 1
"""Age of an upload that nobody finished: a gateway that was killed in it leaves one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketArgs:
    """`key`: an ARN."""

    stack_id: str
    key: pulumi.Input[str]
    protect: bool


class Bucket(pulumi.ComponentResource):
    """`bucket_name`: drawn by Pulumi."""

    bucket_name: pulumi.Output[str]
    arn: pulumi.Output[str]

    def __init__(self, name: str, args: BucketArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vaporforge:aws:Bucket", name, None, opts)
        stack_id, child = args.stack_id, pulumi.ResourceOptions(parent=self, retain_on_delete=args.protect)
        bucket = aws.s3.Bucket(
            short(stack_id, "blobs", BUCKET_LETTERS),
            # A stack whose data may go takes its sessions' snapshots with it.
            force_destroy=not args.protect,
            tags=tags_of(stack_id, "blobs"),
            opts=kept(self, args.protect),
        )
        self.bucket_name, self.arn = bucket.bucket, bucket.arn
        closed = aws.s3.BucketPublicAccessBlock(
            f"{stack_id}-blobs",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        aws.s3.BucketOwnershipControls(
            f"{stack_id}-blobs",
            bucket=bucket.id,
            rule=aws.s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
            opts=child,
        )
        versioned = aws.s3.BucketVersioning(
            f"{stack_id}-blobs",
            bucket=bucket.id,
            versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=child,
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            f"{stack_id}-blobs",
            bucket=bucket.id,
            rules=[
                aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                        sse_algorithm="aws:kms", kms_master_key_id=args.key
                    ),
                    bucket_key_enabled=True,
                )
            ],
            opts=child,
        )
        aws.s3.BucketLifecycleConfiguration(
            f"{stack_id}-blobs",
            bucket=bucket.id,
            rules=[
                aws.s3.BucketLifecycleConfigurationRuleArgs(
                    id="uploads-that-nobody-finished",
                    status="Enabled",
                    filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                    abort_incomplete_multipart_upload=aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                        days_after_initiation=UPLOAD_DAYS
                    ),
                ),
                aws.s3.BucketLifecycleConfigurationRuleArgs(
                    id="versions-that-were-replaced-or-deleted",
                    status="Enabled",
                    filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                    noncurrent_version_expiration=aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                        noncurrent_days=OLD_DAYS
                    ),
                    expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(
                        expired_object_delete_marker=True
                    ),
                ),
            ],
            # S3 takes rules about versions of a bucket that has them.
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[versioned])),
        )
        aws.s3.BucketPolicy(
            f"{stack_id}-blobs",
            bucket=bucket.id,
            policy=_only_tls(bucket.arn),
            # Both write the bucket's policy state; S3 refuses them at once.
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[closed])),
        )
        self.register_outputs({"name": bucket.bucket})


def _only_tls(arn: pulumi.Output[str]) -> pulumi.Output[str]:
    return pulumi.Output.json_dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [arn, pulumi.Output.concat(arn, "/*")],
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }
            ],
        }
    )
